import { stat } from 'node:fs/promises';

/**
 * Has the threads of libuv's pool born now. Those that are born while the thread is in a pod's namespace stay there for
 * good, so a daemon does this before anything else.
 */
export async function warmThreadPool(): Promise<void> {
  await Promise.all(Array.from({ length: Number(process.env.UV_THREADPOOL_SIZE ?? 4) }, () => stat('/')));
}

/** Resolves when the process is asked to end. */
export function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}
