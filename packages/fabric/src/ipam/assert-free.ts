import { formatCidr } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { AllocateRequest } from './allocate.ts';
import { affinityOf, freeOrdinals, thaw } from './block.ts';
import { choosePools } from './choose-pools.ts';
import type { NodePlace } from './claim-block.ts';
import { blocksToBorrow, listBlocks } from './find-block.ts';
import { blocksOf } from './pool-blocks.ts';
import { readSituation } from './situation.ts';

/** Looks whether an allocation would find an address. @throws FabricError `no-pool`, `no-free-address`; those of the datastore */
export async function assertFree(place: NodePlace, request: Omit<AllocateRequest, 'owner'>): Promise<void> {
  const situation = await readSituation(place, place.node);
  const { strictAffinity, autoAllocateBlocks, ipCooldownSeconds } = situation.config;
  for (const family of [4, 6] as const) {
    const wish = family === 4 ? request.ipv4 : request.ipv6;
    if (wish === undefined) continue;
    const pools = choosePools(situation.pools, {
      family,
      use: request.use ?? 'Workload',
      nodeLabels: situation.nodeLabels,
      namespaceLabels: request.namespaceLabels ?? {},
      requested: wish.pools ?? [],
    });
    const blocks = await listBlocks(place, family);
    const cooling = { nowMs: place.nowMs, cooldownSeconds: ipCooldownSeconds };
    const isOwnFree = [...blocks.values()].some(
      (found) =>
        found?.block.affinity === affinityOf(place.node) &&
        freeOrdinals(thaw(found.block, cooling), situation.isReserved).length > 0,
    );
    const isUnclaimed = () =>
      pools.some((pool) =>
        blocksOf(pool, place.node, situation.reservedAround).some((cidr) => !blocks.has(formatCidr(cidr))),
      );
    const isLent = () => !strictAffinity && blocksToBorrow(place, { pools, situation, blocks }).length > 0;
    if (isOwnFree || (autoAllocateBlocks && isUnclaimed()) || isLent()) continue;
    const names = pools
      .map(({ metadata, spec }) => `${JSON.stringify(metadata.name)} ${spec.cidr}`)
      .join(', ');
    throw new FabricError(
      'no-free-address',
      `look for a free IPv${family} address of IPPool ${names}: there is none`,
    );
  }
}
