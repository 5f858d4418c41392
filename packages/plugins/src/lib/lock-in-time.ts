import { CniError } from '@amphipod/cni';
import { FileLock } from '@amphipod/linux';

const WAIT_MS = 15_000;

export interface LockWait {
  /** What is locked, as errors name it. */
  what: string;
  signal: AbortSignal;
  /** Who holds it, when that takes too long. */
  describeHolder?(): string;
}

/** Takes a lock that the reference takes too. @throws CniError try-again-later when that takes too long (field case CNI-16) */
export async function lockInTime(
  path: string,
  options: { mode?: number; existing?: boolean },
  { what, signal, describeHolder }: LockWait,
): Promise<FileLock> {
  const lock = FileLock.try(path, options);
  if (lock !== undefined) return lock;
  const limited = AbortSignal.any([signal, AbortSignal.timeout(WAIT_MS)]);
  try {
    return await FileLock.acquire(path, { ...options, signal: limited });
  } catch (cause) {
    if (signal.aborted || !limited.aborted) throw cause;
    throw new CniError('try-again-later', `lock ${what}: still held after ${WAIT_MS} ms`, {
      ...(describeHolder !== undefined && { details: describeHolder() }),
      cause,
    });
  }
}
