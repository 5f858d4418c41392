import { spawn } from 'node:child_process';
import { CriError } from '../errors.ts';

/**
 * Runs a program to its end.
 * @returns its standard output
 * @throws CriError failed-precondition with what it wrote on standard error; internal when it cannot be started
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  {
    signal,
    explain = (stderr) => stderr.trim(),
  }: { signal?: AbortSignal; explain?: (stderr: string) => string } = {},
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.once('error', (cause) => reject(new CriError('internal', `run ${program}`, { cause })));
  child.once('close', resolve);
  const code = await promise;
  if (code === 0) return stdout;
  throw new CriError('failed-precondition', explain(stderr) || `exit ${code}`);
}
