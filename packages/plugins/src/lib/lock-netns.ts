import { CniError } from '@amphipod/cni';
import { FileLock } from '@amphipod/linux';

const WAIT_MS = 15_000;

/**
 * Takes the lock on a network namespace that the reference's sbr takes too: for plugins that look for a free routing table there.
 * @throws CniError try-again-later when that takes too long
 */
export async function lockNetns(netns: string, signal: AbortSignal): Promise<FileLock> {
  const lock = FileLock.try(netns, { existing: true });
  if (lock !== undefined) return lock;
  const limited = AbortSignal.any([signal, AbortSignal.timeout(WAIT_MS)]);
  try {
    return await FileLock.acquire(netns, { existing: true, signal: limited });
  } catch (cause) {
    if (signal.aborted || !limited.aborted) throw cause;
    throw new CniError(
      'try-again-later',
      `lock netns ${JSON.stringify(netns)}: still held after ${WAIT_MS} ms`,
      { cause },
    );
  }
}
