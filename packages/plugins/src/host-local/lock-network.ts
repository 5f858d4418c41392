import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { FileLock } from '@amphipod/linux';
import { lockInTime } from '../lib/lock-in-time.ts';

const LOCK_MODE = 0o750;

/**
 * Takes the lock file of a network's directory, which the reference's host-local takes too.
 * @throws CniError try-again-later naming the file and who holds it, when that takes too long (field case CNI-16)
 */
export async function lockNetwork(dir: string, signal: AbortSignal): Promise<FileLock> {
  const path = join(dir, 'lock');
  return await lockInTime(
    path,
    { mode: LOCK_MODE },
    {
      what: JSON.stringify(path),
      signal,
      describeHolder: () => describeHolder(path),
    },
  );
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
