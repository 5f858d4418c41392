import { spawn } from 'node:child_process';
import { CriError } from '../errors.ts';
import { runtimeMessage } from './conmon.ts';
import type { OciRuntime } from './runtimes.ts';

/** Starts the user's process of a created container: `runc start ID`. @throws CriError with the runtime's text */
export async function startCreated(runtime: OciRuntime, containerId: string): Promise<void> {
  await runRuntime(runtime, ['start', containerId]);
}

/** Runs the OCI runtime with `args` to its end. @throws CriError failed-precondition with its error text */
export async function runRuntime(runtime: OciRuntime, args: string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(runtime.path, ['--root', runtime.root, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.once('error', (cause) => reject(new CriError('internal', `run ${runtime.path}`, { cause })));
  child.once('close', resolve);
  const code = await promise;
  if (code === 0) return;
  throw new CriError(
    'failed-precondition',
    `${args[0]} with ${runtime.name}: ${runtimeMessage(stderr) || `exit ${code}`}`,
  );
}
