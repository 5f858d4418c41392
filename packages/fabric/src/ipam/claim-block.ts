import { isCode } from '@amphipod/linux';
import type { Cidr } from '@amphipod/netlink';
import type { IpamBlock } from '../resources/ipam-block.ts';
import { affinityOf, freshBlock, touched } from './block.ts';
import { racing, type Stored, type StorePlace, storedAffinity, storedBlock } from './stored-object.ts';

/** A node that takes addresses. */
export interface NodePlace extends StorePlace {
  node: string;
  nowMs: number;
}

/**
 * Makes a block this node's, with its affinity confirmed; also finishes what a killed process began. The block itself says whose
 * it is; the affinity is how a node finds its blocks.
 * @returns undefined when the block is another node's
 */
export async function claimBlock(place: NodePlace, cidr: Cidr): Promise<Stored<IpamBlock> | undefined> {
  const [affinity, block] = [storedAffinity(place, place.node, cidr), storedBlock(place, cidr)];
  return await racing('claim block', place, async () => {
    let own = await affinity.create({ state: 'pending', deleted: false }).catch(ignoreConflict);
    if (own === undefined) {
      own = await affinity.get();
      if (own === undefined) throw conflict();
      // Somebody gives the block up: from here on the affinity is no longer as they know it.
      if (own.value.state === 'pendingDeletion') {
        own = await affinity.replace(own, { state: 'pending', deleted: false });
      }
    }
    const made = await block.create(freshBlock(cidr, place.node, place.nowMs)).catch(ignoreConflict);
    let found = made ?? (await block.get());
    if (found === undefined) throw conflict();
    if (found.value.affinity !== affinityOf(place.node)) {
      await affinity.delete(own);
      return undefined;
    }
    if (own.value.state === 'confirmed' && made === undefined) return found;
    // So that a release of the block that has begun before cannot delete it any more.
    if (made === undefined) found = await block.replace(found, touched(found.value));
    await affinity.replace(own, { state: 'confirmed', deleted: false });
    return found;
  });
}

function ignoreConflict(error: unknown): undefined {
  if (!isCode(error, 'conflict')) throw error;
}

/** What was there a moment ago is gone: begin again. */
function conflict(): Error {
  return Object.assign(new Error('it has just been deleted'), { code: 'conflict' });
}
