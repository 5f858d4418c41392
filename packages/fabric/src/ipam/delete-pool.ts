import { contains, parseCidr } from '@amphipod/netlink';
import { affinitiesPrefix, parseAffinityKey } from '../resources/block-affinity.ts';
import { deleteResource, getResource, updateResource } from '../resources/resource-store.ts';
import { releaseBlock } from './release-block.ts';
import { callOf, type StorePlace } from './stored-object.ts';

/**
 * Deletes a pool: nothing is given out of it any more, then its blocks leave their nodes, then it goes. Addresses in use stay with
 * those who have them, in blocks that are nobody's.
 * @returns false when there was none
 */
export async function deletePool(place: StorePlace & { nowMs: number }, name: string): Promise<boolean> {
  const { store, signal } = place;
  const call = callOf(signal);
  const pool = await getResource(store, 'IPPool', { name, ...call });
  if (pool === undefined) return false;
  if (!pool.spec.disabled)
    await updateResource(store, { ...pool, spec: { ...pool.spec, disabled: true } }, call);
  const range = parseCidr(pool.spec.cidr);
  const { entries } = await store.list(affinitiesPrefix, call);
  for (const { key } of entries) {
    const id = parseAffinityKey(key);
    if (id === undefined || !contains(range, id.cidr)) continue;
    await releaseBlock(place, { node: id.host, cidr: id.cidr }, { onlyEmpty: false });
  }
  return await deleteResource(store, 'IPPool', { name, ...call });
}
