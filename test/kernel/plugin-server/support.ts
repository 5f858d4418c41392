// Executables and the plugin server that they ask, and a caller who is no executable.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ownInstallation } from '@amphipod/plugins';
import { type StartedServer, startPluginServer } from '../../conformance/lib/start-plugin-server.ts';
import { links, type World } from '../../conformance/lib/world.ts';

/** The server of a test file; it ends with the file's process. */
export const server = await startPluginServer();
// Falling back to Node.js needs a search path; so nothing falls back unnoticed.
const serverOnly = { PATH: '/nonexistent' };

export interface Ending {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Running {
  child: ChildProcess;
  ended: Promise<Ending>;
}

/** Starts an executable of ours as a runtime does, or another program with it behind it. Stdin undefined: it stays open. */
export function start(argv: string[], env: Record<string, string>, stdin: string | undefined): Running {
  const child = spawn(argv[0]!, argv.slice(1), { env: { ...serverOnly, ...env } });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  child.stdin.on('error', () => {});
  if (stdin !== undefined) child.stdin.end(stdin);
  return { child, ended: once(child, 'close').then(([code]) => ({ code, ...text })) };
}

/** Variables that let an executable fall back to Node.js. */
export const fallBack = { PATH: process.env.PATH ?? '' };

export const plugin = (type: string, { binDir }: StartedServer = server) => join(binDir, type);
export const version = () => start([plugin('bridge')], { CNI_COMMAND: 'VERSION' }, '');

/** Asserts that the server answers. */
export async function isServing(): Promise<void> {
  const { code, stdout } = await version().ended;
  assert.equal(code, 0);
  assert.match(stdout, /"1\.1\.0"\s+\]\s+\}$/);
}

/** The numbers and letters that src/server/protocol.ts promises, written once more. */
export function frame(kind: string, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeUInt32LE(body.length, 1);
  return Buffer.concat([head, body]);
}

export function hello(type: string, env: Record<string, string>): Buffer {
  const { version: own, root } = ownInstallation();
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return frame('H', [own, root, type, ...variables].map((text) => `${text}\0`).join(''));
}

export async function connect(): Promise<Socket> {
  const socket = createConnection(server.socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Everything that the server says until it closes. */
export async function listen(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

/** An IPAM plugin of somebody else; its ADD takes its time, and it notes what it is called for. */
export function slowIpam(world: World, seconds: number): { dir: string; calls: string } {
  const dir = world.makeDir('bin');
  const calls = join(world.dir, 'calls');
  writeFileSync(
    join(dir, 'slow-ipam'),
    `#!/bin/sh
export PATH=/usr/bin:/bin
cat >/dev/null
echo "$CNI_COMMAND $MARK" >>${calls}
[ "$CNI_COMMAND" = ADD ] || exit 0
sleep ${seconds}
echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.2/24"}]}'
`,
  );
  chmodSync(join(dir, 'slow-ipam'), 0o755);
  return { dir, calls };
}

/** An ADD of bridge `slow0` with that IPAM plugin: environment and stdin. */
export function addCall(world: World, dir: string, netns: string) {
  const config = {
    cniVersion: '1.0.0',
    name: 'slow',
    type: 'bridge',
    bridge: 'slow0',
    ipam: { type: 'slow-ipam' },
  };
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_IFNAME: 'eth0',
    CNI_NETNS: netns,
    CNI_PATH: dir,
    MARK: world.dir,
  };
  return { env, stdin: JSON.stringify(config) };
}

/** Waits up to five seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await sleep(25);
  assert.ok(condition(), `it never was: ${condition}`);
}

/** Names of links, here or in another namespace. */
export const names = (netns?: string) => links(netns).map(({ ifname }) => ifname);
