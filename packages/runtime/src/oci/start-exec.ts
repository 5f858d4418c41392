import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { adoptChild, ConsoleSocket, isCode, pipe, spawnProcess, type TerminalSize } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { runtimeMessage } from './conmon.ts';
import type { OciRuntime } from './runtimes.ts';
import type { OciProcess } from './spec.ts';

export interface StartExecOptions {
  process: OciProcess;
  /** Path prefix for the files of this start; they are gone when it returns. */
  scratch: string;
  /** Which streams are wanted; the others are /dev/null. With a terminal there is only the terminal. */
  streams: { stdin: boolean; stdout: boolean; stderr: boolean };
  /** Of the terminal, where `process.terminal` asks for one. */
  size?: TerminalSize | undefined;
}

/** A command that runs in a container. The descriptors are the caller's to close. */
export interface StartedExec {
  /** In the daemon's PID namespace. */
  pid: number;
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
  { process: ociProcess, scratch, streams, size }: StartExecOptions,
): Promise<StartedExec> {
  const files = { process: `${scratch}.json`, pid: `${scratch}.pid`, log: `${scratch}.log` };
  const consoleSize = size && { consoleSize: { height: size.rows, width: size.columns } };
  writeFileSync(files.process, JSON.stringify({ ...ociProcess, ...consoleSize }));
  using stack = new DisposableStack();
  stack.defer(() => {
    for (const file of Object.values(files)) rmSync(file, { force: true });
  });
  const terminal = ociProcess.terminal ? stack.use(new ConsoleSocket(`${scratch}.tty`)) : undefined;
  using ours = new Descriptors();
  using theirs = new Descriptors();
  const fds = openStreams(terminal === undefined ? streams : undefined, { ours, theirs });
  const child = spawnProcess(
    runtime.path,
    ['--root', runtime.root, '--log', files.log, '--log-format', 'json'].concat([
      ...['exec', '--detach', '--process', files.process, '--pid-file', files.pid],
      ...(terminal === undefined ? [] : ['--console-socket', terminal.path]),
      containerId,
    ]),
    { env: { PATH: process.env.PATH ?? '' }, fds: fds.theirs },
  );
  theirs[Symbol.dispose]();
  const exitCode = await child.exited;
  const pid = Number.parseInt(readText(files.pid), 10);
  if (exitCode !== 0 || !(pid > 0)) {
    const text = runtimeMessage(readText(files.log)).replace(/^exec failed: /, '');
    throw new CriError('failed-precondition', `exec in ${containerId}: ${text || `exit ${exitCode}`}`);
  }
  const exited = adoptChild(pid);
  if (terminal === undefined) {
    ours.keep();
    return { pid, exited, ...fds.ours };
  }
  const master = terminal.take();
  if (master === undefined)
    throw new CriError('internal', `exec in ${containerId}: ${runtime.name} sent no terminal`);
  return { pid, exited, terminal: master };
}

/** Pipes for the wanted streams, /dev/null for the others; undefined: for all. */
function openStreams(
  streams: StartExecOptions['streams'] | undefined,
  { ours, theirs }: { ours: Descriptors; theirs: Descriptors },
) {
  const nothing = theirs.add(openSync('/dev/null', 'r+'));
  const ends: Pick<StartedExec, 'stdin' | 'stdout' | 'stderr'> = {};
  const child = (['stdin', 'stdout', 'stderr'] as const).map((name) => {
    if (!streams?.[name]) return nothing;
    const { read, write } = pipe();
    const [mine, yours] = name === 'stdin' ? [write, read] : [read, write];
    ends[name] = ours.add(mine);
    return theirs.add(yours);
  });
  return { ours: ends, theirs: child };
}

/** Descriptors that are closed together, unless they are kept. */
class Descriptors implements Disposable {
  #fds: number[] = [];

  add(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  keep(): void {
    this.#fds = [];
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}
