import { CniError } from './errors.ts';

/** How long what was told to stop may take to do so. */
const GRACE_MS = 2000;

/**
 * Runs `work` with a signal that fires when the caller's does or the time is up. It is not waited for much longer: a
 * process may hang in the kernel, beyond the reach of signals.
 * @throws CniError plugin-timeout; the signal's reason; what `work` throws
 */
export async function withTimeLimit<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const givenUp = Promise.withResolvers<never>();
  let grace: NodeJS.Timeout | undefined;
  const stop = (reason: unknown) => {
    if (controller.signal.aborted) return;
    controller.abort(reason);
    grace = setTimeout(() => givenUp.reject(reason), GRACE_MS);
  };
  const onAbort = () => stop(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    stop(new CniError('plugin-timeout', `no answer within ${timeoutMs} ms, killed`));
  }, timeoutMs);
  try {
    return await Promise.race([work(controller.signal), givenUp.promise]);
  } catch (error) {
    // What the plugin says while it is being stopped is not the reason.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
    signal?.removeEventListener('abort', onAbort);
  }
}
