import { spawn } from 'node:child_process';
import { CriError } from '../errors.ts';
import { runtimeMessage } from './conmon.ts';
import { globalArgs, type OciRuntime } from './runtimes.ts';

interface RunOptions {
  /** Kills the program and rejects with its reason. */
  signal?: AbortSignal;
}

/** Runs the OCI runtime with `args` to its end. @throws CriError failed-precondition with its error text */
export async function runRuntime(
  runtime: OciRuntime,
  args: string[],
  options: RunOptions = {},
): Promise<void> {
  const { code, stderr } = await run([runtime.path, ...globalArgs(runtime), ...args], options);
  if (code === 0) return;
  const reason = runtimeMessage(stderr) || `exit ${code}`;
  throw new CriError('failed-precondition', `${args[0]} with ${runtime.name}: ${reason}`);
}

/** Runs a program to its end. @returns its standard output @throws CriError internal with its error text */
export async function runProgram(command: [string, ...string[]], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, options);
  if (code === 0) return stdout;
  throw new CriError('internal', `run ${command[0]}: ${stderr.trim() || `exit ${code}`}`);
}

async function run(
  [program, ...args]: [string, ...string[]],
  { signal }: RunOptions,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal && { signal, killSignal: 'SIGKILL' }),
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.once('error', (cause) =>
    reject(signal?.aborted ? signal.reason : new CriError('internal', `run ${program}`, { cause })),
  );
  child.once('close', resolve);
  return { code: await promise, stdout, stderr };
}
