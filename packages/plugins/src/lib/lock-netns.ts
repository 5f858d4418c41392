import type { FileLock } from '@amphipod/linux';
import { lockInTime } from './lock-in-time.ts';

/**
 * Takes the lock on a network namespace that the reference's sbr takes too: for plugins that look for a free routing table there.
 * @throws CniError try-again-later when that takes too long
 */
export async function lockNetns(netns: string, signal: AbortSignal): Promise<FileLock> {
  return await lockInTime(netns, { existing: true }, { what: `netns ${JSON.stringify(netns)}`, signal });
}
