import { isCode } from '@amphipod/linux';
import type { Cidr } from '@amphipod/netlink';
import { affinityOf, isEmpty, thaw, withoutAffinity } from './block.ts';
import { readConfig } from './situation.ts';
import { racing, type StorePlace, storedAffinity, storedBlock } from './stored-object.ts';

export interface ReleaseBlockOptions {
  /** A block with addresses in use stays the node's. */
  onlyEmpty: boolean;
  /** Only when the block is as it was then. */
  sequenceNumber?: bigint;
}

/**
 * Takes a block from a node: an empty one is deleted, one in use becomes nobody's. The affinity says first that this is being done, so that
 * a process that is killed in between leaves no block that nobody knows of.
 * @returns false when the block stays
 */
export async function releaseBlock(
  place: StorePlace & { nowMs: number },
  { node, cidr }: { node: string; cidr: Cidr },
  { onlyEmpty, sequenceNumber }: ReleaseBlockOptions,
): Promise<boolean> {
  const [affinity, block] = [storedAffinity(place, node, cidr), storedBlock(place, cidr)];
  return await racing('release block', place, async () => {
    const [own, found, config] = await Promise.all([affinity.get(), block.get(), readConfig(place)]);
    const isOurs = found !== undefined && found.value.affinity === affinityOf(node);
    const now = found && thaw(found.value, { nowMs: place.nowMs, cooldownSeconds: config.ipCooldownSeconds });
    if (isOurs) {
      if (onlyEmpty && !isEmpty(now!)) return false;
      if (sequenceNumber !== undefined && sequenceNumber !== found.value.sequenceNumber) return false;
    }
    let left = own;
    if (own !== undefined && isOurs) {
      left = await affinity.replace(own, { state: 'pendingDeletion', deleted: false });
    }
    if (isOurs) {
      if (isEmpty(now!)) await block.delete(found);
      else await block.replace(found, withoutAffinity(now!));
    }
    // Somebody who claims the block at this moment has changed the affinity: it is theirs.
    if (left !== undefined) await affinity.delete(left).catch(ignoreConflict);
    return true;
  });
}

function ignoreConflict(error: unknown): void {
  if (!isCode(error, 'conflict')) throw error;
}
