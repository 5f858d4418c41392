import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long a list may keep other calls waiting. */
const turnMs = 5;

/** Maps a long list, letting other work of the daemon in every few milliseconds; undefined results are left out. */
export async function inTurns<T, R>(items: Iterable<T>, work: (item: T) => R | undefined): Promise<R[]> {
  const results: R[] = [];
  let startedMs = performance.now();
  for (const item of items) {
    const result = work(item);
    if (result !== undefined) results.push(result);
    if (performance.now() - startedMs < turnMs) continue;
    await nextTurn();
    startedMs = performance.now();
  }
  return results;
}
