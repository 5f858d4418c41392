import { closeSync } from 'node:fs';
import {
  adoptChild,
  ConsoleSocket,
  type NullDevices,
  pipe,
  spawnProcess,
  type TerminalSize,
} from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { ExecFiles } from './exec-files.ts';
import type { OciRuntime } from './runtimes.ts';
import type { OciProcess } from './spec.ts';

export interface StartExecOptions {
  process: OciProcess;
  /** For the files of this start; they are gone when it returns. */
  directory: string;
  /** Which streams are wanted; the others are a null device. With a terminal there is only the terminal. */
  streams: { stdin: boolean; stdout: boolean; stderr: boolean };
  /** The OCI runtime may change the owner of what it is given. */
  nullDevices: NullDevices;
  /** Of the terminal, where `process.terminal` asks for one. */
  size?: TerminalSize | undefined;
}

/** A command that runs in a container. The descriptors are the caller's to close. */
export interface StartedExec {
  /** Resolves to the exit code, 128 + signal for one that a signal ended. */
  exited: Promise<number>;
  /** Master of the terminal; the other three are absent then. */
  terminal?: number;
  /** Our ends of the pipes. */
  stdin?: number;
  stdout?: number;
  stderr?: number;
}

/**
 * Starts a command in a running container: `runc exec --detach`. The runtime ends as soon as the command runs, which
 * has our pipes or our terminal without anybody in between and becomes our child (docs/adr/0015).
 * @throws CriError failed-precondition with the runtime's text when it cannot be started
 */
export async function startExec(
  runtime: OciRuntime,
  containerId: string,
  { process: ociProcess, directory, streams, nullDevices, size }: StartExecOptions,
): Promise<StartedExec> {
  const consoleSize = size && { consoleSize: { height: size.rows, width: size.columns } };
  using files = new ExecFiles(directory, { ...ociProcess, ...consoleSize });
  using terminal = ociProcess.terminal ? new ConsoleSocket(files.terminal) : undefined;
  using ours = new DisposableStack();
  using theirs = new DisposableStack();
  const nothing = theirs.adopt(nullDevices.open(), closeSync);
  const fds = openStreams(terminal === undefined ? streams : undefined, { nothing, ours, theirs });
  const options = ['--detach', ...(terminal === undefined ? [] : ['--console-socket', terminal.path])];
  const child = spawnProcess(runtime.path, files.args(runtime, containerId, options), {
    env: { PATH: process.env.PATH ?? '' },
    fds: fds.theirs,
  });
  theirs.dispose();
  const exitCode = await child.exited;
  const pid = files.pid();
  if (exitCode !== 0 || pid === undefined) {
    const text = files.failure().replace(/^exec failed: /, '');
    throw new CriError('failed-precondition', `exec in ${containerId}: ${text || `exit ${exitCode}`}`);
  }
  const exited = adoptChild(pid);
  if (terminal === undefined) {
    ours.move();
    return { exited, ...fds.ours };
  }
  const master = terminal.take();
  if (master === undefined)
    throw new CriError('internal', `exec in ${containerId}: ${runtime.name} sent no terminal`);
  return { exited, terminal: master };
}

/** Pipes for the wanted streams, `nothing` for the others; undefined: for all. */
function openStreams(
  streams: StartExecOptions['streams'] | undefined,
  { nothing, ours, theirs }: { nothing: number; ours: DisposableStack; theirs: DisposableStack },
) {
  const ends: Pick<StartedExec, 'stdin' | 'stdout' | 'stderr'> = {};
  const child = (['stdin', 'stdout', 'stderr'] as const).map((name) => {
    if (!streams?.[name]) return nothing;
    const { read, write } = pipe();
    const [mine, yours] = name === 'stdin' ? [write, read] : [read, write];
    ends[name] = ours.adopt(mine, closeSync);
    return theirs.adopt(yours, closeSync);
  });
  return { ours: ends, theirs: child };
}
