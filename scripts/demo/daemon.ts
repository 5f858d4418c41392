import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CriClient } from '../../packages/runtime/src/cli/client.ts';

/** `amphipod up` as a child with everything in one directory. */
export interface Daemon {
  process: ChildProcess;
  /** Resolves with what happened when it ends by itself. */
  ended: Promise<string>;
  logFile: string;
}

const root = join(import.meta.dirname, '../..');

/** Starts `amphipod up`; does not wait for its socket. */
export function startDaemon(directory: string, socket: string): Daemon {
  const logFile = join(directory, 'daemon.log');
  const log = openSync(logFile, 'a');
  const flags = {
    '--root': join(directory, 'root'),
    '--state': join(directory, 'run'),
    '--socket': socket,
    '--cni-conf-dir': join(directory, 'net.d'),
    '--cni-bin-dir': join(root, 'packages/plugins/bin'),
    '--cni-cache-dir': join(directory, 'cni'),
    '--config': join(directory, 'config.toml'),
  };
  // In a session of its own: Ctrl-C is for us, who remove the pod before the daemon goes.
  const process = spawn(join(root, 'bin/amphipod'), ['up', ...Object.entries(flags).flat()], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const ended = Promise.race([
    once(process, 'exit').then(([code, signal]) => `the daemon ended (${signal ?? `exit code ${code}`})`),
    once(process, 'error').then(([error]) => `the daemon did not start: ${(error as Error).message}`),
  ]);
  return { process, ended, logFile };
}

/** Waits until the daemon answers and its network is ready. @throws Error with the end of its log when it does not */
export async function daemonReady({ ended, logFile }: Daemon, { runtime }: CriClient): Promise<string> {
  const deadline = AbortSignal.timeout(20_000);
  let failure: string | undefined;
  void ended.then((reason) => {
    failure = reason;
  });
  let problem = 'it does not answer';
  while (failure === undefined && !deadline.aborted) {
    try {
      const { status } = await runtime.status({ verbose: false }, { timeoutMs: 2000 });
      const missing = status?.conditions.find((condition) => !condition.status);
      if (missing === undefined) {
        const version = await runtime.version({ version: '0.1.0' });
        return `${version.runtimeName} ${version.runtimeVersion}`;
      }
      problem = `${missing.type}: ${missing.message}`;
    } catch (error) {
      problem = (error as Error).message;
    }
    await delay(10);
  }
  throw new Error(`start daemon: ${failure ?? problem}\n${logTail(logFile)}`);
}

function logTail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
}

export function hasEnded({ process }: Daemon): boolean {
  return process.exitCode !== null || process.signalCode !== null || process.pid === undefined;
}

/** SIGTERM, and SIGKILL if that does not help. */
export async function stopDaemon(daemon: Daemon): Promise<void> {
  if (hasEnded(daemon)) return;
  const { process, ended } = daemon;
  process.kill('SIGTERM');
  const stopped = await Promise.race([ended, delay(10_000, undefined, { ref: false })]);
  if (stopped === undefined) process.kill('SIGKILL');
  await ended;
}
