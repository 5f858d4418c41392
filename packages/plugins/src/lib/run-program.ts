import { spawn } from 'node:child_process';
import { isCode } from '@amphipod/linux';

/** How a program ended. */
export interface ProgramEnd {
  /** 128 and more: ended by a signal, or out of time. */
  exitCode: number;
  stdout: string;
  stderr: string;
}

const TIME_LIMIT_MS = 90_000;

/**
 * Runs a program in the thread's namespaces and waits for its end; undefined when there is none of this name.
 * @throws what starting it failed with
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  stdin = '',
): Promise<ProgramEnd | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<ProgramEnd | undefined>();
  const child = spawn(program, args, { env: searchable(process.env) });
  // spawn's own limit would keep the process for as long when the program cannot be started.
  const limit = setTimeout(() => child.kill(), TIME_LIMIT_MS);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.on('error', (error) => {
    clearTimeout(limit);
    if (isCode(error, 'ENOENT')) resolve(undefined);
    else reject(error);
  });
  child.on('close', (code) => {
    clearTimeout(limit);
    resolve({ exitCode: code ?? 128, stdout, stderr });
  });
  // A program that ends without reading says why in its own words.
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  return await promise;
}

/** Programs for administrators are in directories that a service's PATH may lack. */
function searchable(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const dirs = (env.PATH ?? '/usr/bin:/bin').split(':');
  const missing = ['/usr/sbin', '/sbin'].filter((dir) => !dirs.includes(dir));
  return { ...env, LC_ALL: 'C', PATH: [...dirs, ...missing].join(':') };
}
