import { type Cidr, formatCidr, type IpFamily } from '@amphipod/netlink';
import type { IpPool } from '../resources/ip-pool.ts';
import { blocksPrefix, type IpamBlock, parseBlock, parseBlockKey } from '../resources/ipam-block.ts';
import { affinityOf, freeOrdinals, isEmpty, nodeOf, thaw } from './block.ts';
import type { NodePlace } from './claim-block.ts';
import { blocksOf, inOrderOf } from './pool-blocks.ts';
import { releaseBlock } from './release-block.ts';
import type { Situation } from './situation.ts';
import { callOf, type StorePlace } from './stored-object.ts';

/** An empty block is taken away from a node at the earliest so long after the node has got it. */
const MIN_RECLAIM_AGE_MS = 60_000;

/** Where to look for blocks. */
export interface Search {
  pools: readonly IpPool[];
  situation: Situation;
  /** Those that are there. */
  blocks: ReadonlyMap<string, FoundBlock | undefined>;
}

/** A block with its network. */
export interface FoundBlock {
  cidr: Cidr;
  block: IpamBlock;
}

/** All blocks of a family. One that cannot be read is left out: it belongs to somebody, and gives nothing. */
export async function listBlocks(
  { store, signal }: StorePlace,
  family: IpFamily,
): Promise<Map<string, FoundBlock | undefined>> {
  const { entries } = await store.list(blocksPrefix(family), callOf(signal));
  return new Map(
    entries.flatMap(({ key, value }) => {
      const cidr = parseBlockKey(key);
      return cidr === undefined ? [] : [[formatCidr(cidr), readBlock(cidr, { key, value })]];
    }),
  );
}

function readBlock(cidr: Cidr, { key, value }: { key: string; value: string }): FoundBlock | undefined {
  try {
    return { cidr, block: parseBlock(value, key) };
  } catch {
    return undefined;
  }
}

/**
 * Finds a block that this node can claim: one that nobody has, else one that another node has and has not used for a minute.
 */
export async function findBlockToClaim(
  place: NodePlace,
  { pools, situation, blocks }: Search,
): Promise<Cidr | undefined> {
  const cooling = { nowMs: place.nowMs, cooldownSeconds: situation.config.ipCooldownSeconds };
  const unused: FoundBlock[] = [];
  for (const pool of pools) {
    // A pool of IPv6 has more blocks than anybody can go through; among one more than there are there is a free one.
    for (const cidr of blocksOf(pool, place.node, situation.reservedAround)) {
      const name = formatCidr(cidr);
      if (!blocks.has(name)) return cidr;
      const found = blocks.get(name);
      if (found === undefined) continue;
      const block = thaw(found.block, cooling);
      const isFree = freeOrdinals(block, situation.isReserved).length > 0;
      if (isFree && block.affinity === affinityOf(place.node)) return cidr;
      if (isFree && isEmpty(block)) unused.push(found);
    }
  }
  for (const { cidr, block } of unused) {
    if (await reclaim(place, { cidr, block })) return cidr;
  }
  return undefined;
}

/** Takes an empty block from the node that has it. */
async function reclaim(place: NodePlace, { cidr, block }: FoundBlock): Promise<boolean> {
  const claimedAt = Date.parse(block.affinity_claim_time ?? '');
  if (claimedAt + MIN_RECLAIM_AGE_MS > place.nowMs) return false;
  const node = nodeOf(block);
  if (node === undefined) return false;
  return await releaseBlock(place, { node, cidr }, { onlyEmpty: true, sequenceNumber: block.sequenceNumber });
}

/** Blocks of others that have addresses to lend, beginning where this node's own would. */
export function blocksToBorrow(place: NodePlace, { pools, situation, blocks }: Search): Cidr[] {
  const cooling = { nowMs: place.nowMs, cooldownSeconds: situation.config.ipCooldownSeconds };
  const lenders = [...blocks.values()].filter(
    (found) =>
      found !== undefined &&
      found.block.affinity !== affinityOf(place.node) &&
      freeOrdinals(thaw(found.block, cooling), situation.isReserved).length > 0,
  ) as FoundBlock[];
  const cidrs = lenders.map(({ cidr }) => cidr);
  return pools.flatMap((pool) => inOrderOf(pool, place.node, cidrs));
}
