import { closeSync, openSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  findProcess,
  isAlive,
  killQuietly,
  pipe,
  processTree,
  type SpawnedProcess,
  spawnProcess,
} from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { readText } from '../read-text.ts';
import { globalArgs, type OciRuntime } from './runtimes.ts';

export interface ConmonOptions {
  conmonPath: string;
  runtime: OciRuntime;
  containerId: string;
  /** Directory with config.json; conmon keeps its control and attach sockets here too. */
  bundle: string;
  /** Where the pid of the container's init is written. */
  pidFile: string;
  /** Pid of conmon itself. */
  conmonPidFile: string;
  /** The exit code is written to `EXIT_DIR/CONTAINER_ID` when the container ends. */
  exitDir: string;
  socketDir: string;
  /** CRI log file; undefined for none. */
  logPath: string | undefined;
  terminal: boolean;
  stdin: boolean;
  stdinOnce: boolean;
  /** The OCI runtime asks systemd for the container's cgroup. */
  systemdCgroup: boolean;
  /** The container can reach the node's own /dev/null, or changes who owns what it is created with: its user namespace. */
  sharesDevices: boolean;
}

/**
 * Creates a container under conmon, which owns its stdio, log and exit code from here on and outlives the daemon.
 * @returns the pid of the container's init, which waits to be started
 * @throws CriError with the OCI runtime's own text
 */
export async function createUnderConmon(options: ConmonOptions): Promise<number> {
  // conmon reports on this pipe: {"data": PID} or {"data": -1, "message": "…"} (conmon(8), _OCI_SYNCPIPE).
  const sync = pipe();
  const errors = `${options.bundle}/conmon.log`;
  const fds = [openSync('/dev/null', 'r+'), openSync(errors, 'w')];
  using input = emptyInput(options);
  let monitor: SpawnedProcess;
  try {
    monitor = spawnProcess(options.conmonPath, conmonArguments(options, input?.path), {
      fds: [fds[0]!, fds[0]!, fds[1]!, sync.write],
      cwd: options.bundle,
      env: { PATH: process.env.PATH ?? '', _OCI_SYNCPIPE: '3' },
    });
  } finally {
    for (const fd of [...fds, sync.write]) closeSync(fd);
  }
  // The pipe stays open in conmon for as long as the container lives: the first line is the answer.
  const report = await firstLine(new Socket({ fd: sync.read, readable: true, writable: false }));
  const answer = parseReport(report);
  if (answer !== undefined && answer.data > 0) return answer.data;
  const reason =
    runtimeMessage(answer?.message ?? '') ||
    readFileSync(errors, 'utf8').trim() ||
    `conmon exited with ${await monitor.exited}`;
  throw new CriError('failed-precondition', `create container with ${options.runtime.name}: ${reason}`);
}

/**
 * Kills the conmon of a container whose start failed or was interrupted, and the OCI runtime below it, and waits for its
 * end: the container cannot appear, nor its exit be reported, after it was cleaned up. Fine when there is none.
 */
export async function killMonitor(conmonPidFile: string, containerId: string): Promise<void> {
  const pid = monitorOf(conmonPidFile, containerId);
  if (pid === undefined) return;
  const monitor = findProcess(pid);
  for (const member of processTree(pid)) killQuietly(member, 'SIGKILL');
  while (monitor !== undefined && isAlive(monitor)) await sleep(1);
}

/** Pid of the conmon of a container; undefined when it is gone. While it lives, it will report the container's end. */
export function monitorOf(conmonPidFile: string, containerId: string): number | undefined {
  const pid = Number(readText(conmonPidFile));
  const isIts = pid > 0 && readText(`/proc/${pid}/cmdline`).split('\0').includes(containerId);
  return isIts ? pid : undefined;
}

/**
 * An empty pipe for standard input where conmon would give the OCI runtime the node's /dev/null, and the runtime would give that
 * to the container's user (docs/adr/0034).
 */
function emptyInput({ runtime, sharesDevices, stdin, terminal }: ConmonOptions) {
  if (!runtime.features.chownsDevices || !sharesDevices || (stdin && !terminal)) return undefined;
  const { read, write } = pipe();
  closeSync(write);
  return { path: `/proc/${process.pid}/fd/${read}`, [Symbol.dispose]: () => closeSync(read) };
}

/** @param inputPath what the OCI runtime is to read in the place of /dev/null; undefined: that */
function conmonArguments(options: ConmonOptions, inputPath: string | undefined): string[] {
  const log = options.logPath === undefined ? 'off' : `k8s-file:${options.logPath}`;
  return [
    ...['--api-version', '1', '--cid', options.containerId, '--cuuid', options.containerId],
    ...runtimeArguments(options, inputPath),
    ...['--bundle', options.bundle, '--container-pidfile', options.pidFile],
    ...['--conmon-pidfile', options.conmonPidFile, '--exit-dir', options.exitDir],
    ...['--socket-dir-path', options.socketDir, '--full-attach', '--log-path', log, '--log-level', 'error'],
    ...(options.terminal ? ['--terminal'] : []),
    ...(options.stdin ? ['--stdin'] : []),
    ...(options.stdin && !options.stdinOnce ? ['--leave-stdin-open'] : []),
  ];
}

/** conmon puts the command, `create`, behind these. */
function runtimeArguments(
  { runtime, terminal, systemdCgroup }: ConmonOptions,
  inputPath: string | undefined,
): string[] {
  const args = [...(systemdCgroup ? ['--systemd-cgroup'] : []), ...globalArgs(runtime)];
  // With a terminal, standard output is /dev/null too.
  const script = terminal ? 'exec "$@" <"$0" >&2' : 'exec "$@" <"$0"';
  const [program, ...all] =
    inputPath === undefined
      ? [runtime.path, ...args]
      : ['/bin/sh', '-c', script, inputPath, runtime.path, ...args];
  return ['--runtime', program, ...all.flatMap((arg) => ['--runtime-arg', arg])];
}

function parseReport(report: string): { data: number; message?: string } | undefined {
  try {
    return JSON.parse(report) as { data: number; message?: string };
  } catch {
    return undefined;
  }
}

/**
 * The message out of an OCI runtime's error lines: `time="…" level=error msg="…"` (runc), JSON log lines, or plain text.
 */
export function runtimeMessage(text: string): string {
  const messages = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      if (line.startsWith('{')) {
        try {
          return String((JSON.parse(line) as { msg?: unknown }).msg ?? line);
        } catch {
          return line;
        }
      }
      const quoted = /\bmsg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
      return quoted === undefined ? line : quoted.replace(/\\(.)/g, '$1');
    });
  return messages.join('; ').replace(/^(runc|crun) create failed: /, '');
}

/** Text up to the first newline, or all of it; the stream is closed then. */
async function firstLine(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += (chunk as Buffer).toString('utf8');
    if (text.includes('\n')) break;
  }
  return text.split('\n')[0]!;
}
