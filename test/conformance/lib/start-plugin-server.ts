import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { builtinPluginTypes, installExecutables, ownInstallation } from '@amphipod/plugins';

/** A plugin server with executables that ask it; it ends with this process. */
export interface StartedServer {
  socket: string;
  /** Executables that ask it. */
  binDir: string;
  process: ChildProcessByStdio<Writable, Readable, null>;
}

/** Executables of this project in a directory of their own, gone at the end of this process. Socket '': they ask no server. */
export function installInScratch(socket: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'cni-bin-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  return install(dir, socket);
}

function install(dir: string, socket: string): string {
  installExecutables(dir, { installation: ownInstallation(), types: builtinPluginTypes, socket });
  return dir;
}

/** Starts a server in the namespaces of this process. */
export async function startPluginServer(): Promise<StartedServer> {
  const dir = mkdtempSync(join(tmpdir(), 'cni-server-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const socket = join(dir, 'cni.sock');
  const program = join(import.meta.dirname, 'plugin-server.ts');
  const child = spawn(process.execPath, [...process.execArgv, program, socket], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // Not a test file, whatever the test runner says.
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  await once(child.stdout, 'data');
  // The process may end while the server runs.
  child.unref();
  for (const stream of [child.stdin, child.stdout]) (stream as unknown as { unref(): void }).unref();
  return { socket, binDir: install(join(dir, 'bin'), socket), process: child };
}
