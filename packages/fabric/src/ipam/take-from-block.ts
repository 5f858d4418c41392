import { isCode } from '@amphipod/linux';
import type { Cidr, IpAddress } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { IpamBlock } from '../resources/ipam-block.ts';
import type { IpamConfig } from '../resources/ipam-config.ts';
import { addressAt, attributeAt, type Owner, take, thaw } from './block.ts';
import type { NodePlace } from './claim-block.ts';
import type { HandleCounter } from './handle-counter.ts';
import { racing, type Stored, type StoredObject, storedBlock } from './stored-object.ts';

export interface TakeOptions {
  owner: Owner;
  handle: HandleCounter;
  config: IpamConfig;
  /** The block as it was read a moment ago, to save reading it. */
  known?: Stored<IpamBlock> | undefined;
  /** Which ordinals of the block to take; none when it is not to be used after all. */
  choose(block: IpamBlock): readonly number[];
}

/**
 * Takes addresses of one block. The handle counts them before the block has them, so that they are found whenever a process is
 * killed.
 * @returns the addresses; none when the block is gone or has none to give
 */
export async function takeFromBlock(
  place: NodePlace,
  cidr: Cidr,
  options: TakeOptions,
): Promise<IpAddress[]> {
  const { owner, handle, config, choose } = options;
  const object = storedBlock(place, cidr);
  let stored = options.known ?? (await object.get());
  let counted = 0;
  try {
    return await racing('take addresses', place, async () => {
      const block =
        stored && thaw(stored.value, { nowMs: place.nowMs, cooldownSeconds: config.ipCooldownSeconds });
      const ordinals = block === undefined ? [] : choose(block);
      await handle.add(cidr, ordinals.length - counted);
      counted = ordinals.length;
      if (stored === undefined || block === undefined || ordinals.length === 0) return [];
      const taken = take(block, ordinals, owner);
      try {
        await write(object, stored, { taken, ordinals });
      } catch (error) {
        if (isCode(error, 'conflict')) stored = await object.get();
        throw error;
      }
      return ordinals.map((ordinal) => addressAt(taken, ordinal));
    });
  } catch (error) {
    // Without an answer nobody knows whether the block has them: the handle goes on counting them.
    if (!isCode(error, 'unavailable')) await handle.add(cidr, -counted);
    throw error;
  }
}

/** Writes the block; when the answer is lost, looks whether it was written. @throws FabricError `conflict` when it was not */
async function write(
  object: StoredObject<IpamBlock>,
  stored: Stored<IpamBlock>,
  { taken, ordinals }: { taken: IpamBlock; ordinals: readonly number[] },
): Promise<void> {
  try {
    await object.replace(stored, taken);
  } catch (error) {
    if (!isCode(error, 'unavailable')) throw error;
    const found = await object.get();
    const isOurs = (ordinal: number) =>
      found !== undefined &&
      attributeAt(found.value, ordinal)?.handle_id === attributeAt(taken, ordinal)!.handle_id &&
      found.value.sequenceNumberForAllocation[ordinal] === taken.sequenceNumberForAllocation[ordinal];
    if (ordinals.every(isOurs)) return;
    throw new FabricError('conflict', `write block ${taken.cidr}: it was not written`, { cause: error });
  }
}
