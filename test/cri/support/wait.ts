import { setTimeout as sleep } from 'node:timers/promises';

/**
 * How many times longer than a test says it may take: AMPHIPOD_TEST_PATIENCE=5 on a virtual machine without acceleration. A
 * factor of 1, which nothing said means, is what the suites are measured by.
 */
const patience = Number(process.env.AMPHIPOD_TEST_PATIENCE ?? 1);
if (!(patience >= 1 && patience < Number.POSITIVE_INFINITY))
  throw new Error(
    `AMPHIPOD_TEST_PATIENCE "${process.env.AMPHIPOD_TEST_PATIENCE}": must be a number from 1 on`,
  );

/** A time limit of a test on this machine. */
export function patient(timeoutMs: number): number {
  return timeoutMs * patience;
}

/**
 * Calls `probe` until it returns something else than undefined or false.
 * @param timeoutMs made longer by {@link patient}
 * @throws Error that names `what`, with the last failure of the probe as its cause
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 20 } = {},
): Promise<Exclude<T, undefined | false>> {
  const limitMs = patient(timeoutMs);
  const deadline = performance.now() + limitMs;
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
  throw new Error(`wait for ${what}: not within ${limitMs} ms`, { cause });
}
