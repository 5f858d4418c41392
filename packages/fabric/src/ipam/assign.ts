import { formatIp, type IpAddress } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { IpamBlock } from '../resources/ipam-block.ts';
import { affinityOf, attributeAt, nodeOf, type Owner, ordinalOf } from './block.ts';
import { choosePools, type PoolUse } from './choose-pools.ts';
import { claimBlock, type NodePlace } from './claim-block.ts';
import { HandleCounter } from './handle-counter.ts';
import { blockOf, isInPool } from './pool-blocks.ts';
import { releaseIps } from './release.ts';
import { readSituation, type Situation } from './situation.ts';
import { storedBlock } from './stored-object.ts';
import { takeFromBlock } from './take-from-block.ts';

/** What is wanted: just these addresses. */
export interface AssignRequest {
  owner: Owner;
  ips: readonly IpAddress[];
  /** `Workload` unless given. */
  use?: PoolUse;
}

/**
 * Takes just these addresses, all or none. Selectors of their pools and reservations do not matter to who asks for an address by
 * name. An address that the owner's handle has already is left as it is.
 * @throws FabricError `no-pool`, `address-taken`; those of the datastore
 */
export async function assign(place: NodePlace, request: AssignRequest): Promise<void> {
  const situation = await readSituation(place, place.node);
  const handle = new HandleCounter(place, request.owner.handleId);
  const taken: IpAddress[] = [];
  try {
    for (const ip of request.ips) {
      if (await assignOne(place, ip, { request, situation, handle })) taken.push(ip);
    }
  } catch (error) {
    // What cannot be given back now is counted by the handle: DEL finds it.
    await releaseIps(place, taken, { handleId: request.owner.handleId }).catch(() => {});
    throw error;
  }
}

interface AssignContext {
  request: AssignRequest;
  situation: Situation;
  handle: HandleCounter;
}

/** @returns false when the handle has it already */
async function assignOne(
  place: NodePlace,
  ip: IpAddress,
  { request, situation, handle }: AssignContext,
): Promise<boolean> {
  const cidr = blockOf(poolOf(situation, ip, request.use ?? 'Workload'), ip);
  const known = (await storedBlock(place, cidr).get()) ?? (await claimBlock(place, cidr));
  let isHeld = false;
  const taken = await takeFromBlock(place, cidr, {
    owner: request.owner,
    handle,
    config: situation.config,
    known,
    choose(block) {
      const ordinal = ordinalOf(block, ip)!;
      const holder = attributeAt(block, ordinal);
      isHeld = holder?.handle_id === request.owner.handleId;
      if (isHeld) return [];
      const why = whyNot(block, { ordinal, node: place.node, isStrict: situation.config.strictAffinity });
      if (why !== undefined) throw failure(ip, why);
      return [ordinal];
    },
  });
  if (taken.length === 0 && !isHeld) throw failure(ip, 'its block has just been given up');
  return !isHeld;
}

function poolOf(situation: Situation, ip: IpAddress, use: PoolUse) {
  const pool = situation.pools.find((one) => isInPool(one, ip));
  if (pool === undefined) throw new FabricError('no-pool', `assign ${formatIp(ip)}: it is in no IPPool`);
  // Named, so that only what forbids any use counts.
  return choosePools(situation.pools, {
    family: ip.family,
    use,
    nodeLabels: {},
    namespaceLabels: {},
    requested: [pool.metadata.name],
  })[0]!;
}

/** Why an address of a block cannot be had. */
function whyNot(
  block: IpamBlock,
  { ordinal, node, isStrict }: { ordinal: number; node: string; isStrict: boolean },
): string | undefined {
  const holder = attributeAt(block, ordinal);
  if (holder?.releasedAt !== undefined) return `it cools down since ${holder.releasedAt}`;
  if (holder !== undefined) {
    const { pod, namespace } = holder.secondary ?? {};
    const whose = pod === undefined ? '' : ` of pod ${namespace}/${pod}`;
    return `handle ${JSON.stringify(holder.handle_id ?? '')}${whose} has it`;
  }
  if (isStrict && block.affinity !== affinityOf(node)) {
    return `its block is of node ${JSON.stringify(nodeOf(block) ?? '')}, and strictAffinity forbids to borrow`;
  }
  return undefined;
}

function failure(ip: IpAddress, why: string): FabricError {
  return new FabricError('address-taken', `assign ${formatIp(ip)}: ${why}`);
}
