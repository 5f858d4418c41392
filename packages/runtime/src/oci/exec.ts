import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import {
  killQuietly,
  type NullDevices,
  pipe,
  processTree,
  type SpawnedProcess,
  spawnProcess,
} from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { ExecFiles } from './exec-files.ts';
import { outputEnd } from './output-end.ts';
import type { OciRuntime } from './runtimes.ts';
import type { OciProcess } from './spec.ts';

/**
 * Both outputs of ExecSync together are cut here; the command goes on. CRI allows 16 MiB for each, but clients take no
 * message of more than 16 MiB.
 */
const maxOutputBytes = 16 * 1024 * 1024 - 4096;

/** How long the OCI runtime may take to end when its command has been killed. */
const graceMs = 2000;

/** What is left of {@link maxOutputBytes} for the streams of one command. */
interface Budget {
  bytes: number;
}

export interface ExecResult {
  stdout: Buffer;
  stderr: Buffer;
  exitCode: number;
}

export interface ExecOptions {
  process: OciProcess;
  /** For the files of this exec; they are removed at the end. */
  directory: string;
  /** 0: no limit. */
  timeoutMs: number;
  /** For standard input: the OCI runtime may change the owner of what it is given. */
  nullDevices: NullDevices;
  signal: AbortSignal;
}

/**
 * Runs a command in a running container and collects its output: `runc exec`.
 * @throws CriError deadline-exceeded after `timeoutMs` (the command and its children are killed), cancelled, or
 * failed-precondition when the command cannot be started
 */
export async function execSync(
  runtime: OciRuntime,
  containerId: string,
  options: ExecOptions,
): Promise<ExecResult> {
  const { directory, timeoutMs, nullDevices, signal } = options;
  using files = new ExecFiles(directory, options.process);
  const child = startExec(runtime.path, files.args(runtime, containerId), nullDevices);
  let stopped: CriError | undefined;
  let grace: NodeJS.Timeout | undefined;
  const killRuntime = () => killQuietly(child.pid, 'SIGKILL');
  const stop = (reason: CriError) => {
    stopped ??= reason;
    const pid = files.pid();
    if (pid === undefined) {
      killRuntime();
      return;
    }
    // With its children: the container's init would adopt them, and they would live on.
    for (const member of processTree(pid)) killQuietly(member, 'SIGKILL');
    // The runtime reaps the command and ends; without it, the command would be seen as a zombie for a second.
    grace ??= setTimeout(killRuntime, graceMs);
  };
  const timer =
    timeoutMs > 0 &&
    setTimeout(
      () => stop(new CriError('deadline-exceeded', `exec in ${containerId}: timeout of ${timeoutMs} ms`)),
      timeoutMs,
    );
  const onAbort = () => stop(new CriError('cancelled', `exec in ${containerId}: cancelled`));
  signal.addEventListener('abort', onAbort);
  try {
    const result = await collect(child);
    if (stopped !== undefined) throw stopped;
    if (files.pid() === undefined) {
      const text = files.failure() || result.stderr.toString('utf8').trim();
      throw new CriError('failed-precondition', `exec in ${containerId}: ${text}`);
    }
    return result;
  } finally {
    if (timer !== false) clearTimeout(timer);
    clearTimeout(grace);
    signal.removeEventListener('abort', onAbort);
  }
}

interface ExecProcess extends SpawnedProcess {
  stdout: CappedOutput;
  stderr: CappedOutput;
}

function startExec(program: string, args: string[], nullDevices: NullDevices): ExecProcess {
  const nothing = nullDevices.open();
  const [out, err] = [pipe(), pipe()];
  try {
    const env = { PATH: process.env.PATH ?? '' };
    const child = spawnProcess(program, args, { env, fds: [nothing, out.write, err.write] });
    const budget = { bytes: maxOutputBytes };
    return {
      ...child,
      stdout: new CappedOutput(out.read, budget),
      stderr: new CappedOutput(err.read, budget),
    };
  } catch (error) {
    for (const { read } of [out, err]) closeSync(read);
    throw error;
  } finally {
    for (const fd of [nothing, out.write, err.write]) closeSync(fd);
  }
}

async function collect({ exited, stdout, stderr }: ExecProcess): Promise<ExecResult> {
  const exitCode = await exited;
  // A process left in the background may hold the pipes open; what the command itself wrote is in them already.
  await Promise.all([stdout.drained(), stderr.drained()]);
  return { exitCode, stdout: stdout.take(), stderr: stderr.take() };
}

class CappedOutput {
  readonly #stream: Socket;
  readonly #chunks: Buffer[] = [];

  /** @param fd read end of the pipe; closed at the end */
  constructor(fd: number, budget: Budget) {
    const stream = new Socket({ fd, readable: true, writable: false });
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      if (budget.bytes === 0) return;
      const kept = chunk.subarray(0, budget.bytes);
      budget.bytes -= kept.length;
      this.#chunks.push(kept);
    });
  }

  /** To be called when the command has ended. */
  async drained(): Promise<void> {
    await outputEnd(this.#stream);
    this.#stream.destroy();
  }

  take(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
