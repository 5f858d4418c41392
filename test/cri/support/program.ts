import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';

/** A program that runs beside the tests, with its output in a file. */
export interface Program {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly logFile: string;
  /** Undefined while it runs. */
  exitStatus(): string | undefined;
  /** Sends `signal`, and SIGKILL when it has not ended after `graceMs`; returns when it is gone. */
  end(signal?: NodeJS.Signals, graceMs?: number): Promise<void>;
}

/** Starts a program in the background. @throws Error when it cannot be executed */
export async function startProgram(
  command: string[],
  logFile: string,
  options: SpawnOptions = {},
): Promise<Program> {
  const log = openSync(logFile, 'a');
  const child = spawn(command[0]!, command.slice(1), { ...options, stdio: ['ignore', log, log] });
  closeSync(log);
  await once(child, 'spawn');
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid!,
    child,
    logFile,
    exitStatus: () => (isRunning() ? undefined : String(child.signalCode ?? child.exitCode)),
    async end(signal = 'SIGTERM', graceMs = 10_000) {
      if (!isRunning()) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The end of a program's log, for the message of a failed start. */
export function logTail(program: Program, lines = 15): string {
  return readFileSync(program.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
}

/** Runs a program to its end and returns its standard output. @throws Error with what it wrote when it fails */
export async function run(command: string[], options: SpawnOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runAny(command, options);
  if (code !== 0)
    throw new Error(`run ${command.join(' ')}: exit ${code}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}

/** Runs a program to its end, whatever its exit code (128 when a signal ended it). */
export async function runAny(
  command: string[],
  options: SpawnOptions = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(command[0]!, command.slice(1), { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 128, ...output };
}
