import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CniError } from '@amphipod/cni';
import { FileLock } from '@amphipod/linux';

const LOCK_MODE = 0o750;
const WAIT_MS = 15_000;

/**
 * Takes the lock file of a network's directory, which the reference's host-local takes too.
 * @throws CniError try-again-later naming the file and who holds it, when that takes too long (field case CNI-16)
 */
export async function lockNetwork(dir: string, signal: AbortSignal, waitMs = WAIT_MS): Promise<FileLock> {
  const path = join(dir, 'lock');
  const lock = FileLock.try(path, { mode: LOCK_MODE });
  if (lock !== undefined) return lock;
  const limited = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
  try {
    return await FileLock.acquire(path, { mode: LOCK_MODE, signal: limited });
  } catch (cause) {
    if (signal.aborted || !limited.aborted) throw cause;
    throw new CniError('try-again-later', `lock ${JSON.stringify(path)}: still held after ${waitMs} ms`, {
      details: describeHolder(path),
      cause,
    });
  }
}

function describeHolder(path: string): string {
  const { ino } = statSync(path);
  // "1: FLOCK  ADVISORY  WRITE 1234 08:01:4711 0 EOF"
  const line = readFileSync('/proc/locks', 'latin1')
    .split('\n')
    .find((text) => text.includes(' FLOCK ') && !text.includes('->') && text.includes(`:${ino} `));
  const pid = line?.trim().split(/\s+/)[4];
  return pid === undefined ? 'holder unknown' : `held by process ${pid}`;
}
