import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Calls `probe` until it returns something else than undefined or false.
 * @throws Error that names `what`, with the last failure of the probe as its cause
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 20 } = {},
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  do {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await sleep(everyMs);
  } while (performance.now() < deadline);
  throw new Error(`wait for ${what}: not within ${timeoutMs} ms`, { cause });
}
