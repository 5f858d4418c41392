import { type Cidr, contains, type IpAddress, type IpFamily, parseCidr } from '@amphipod/netlink';
import { hostAffinitiesPrefix, parseAffinity, parseAffinityKey } from '../resources/block-affinity.ts';
import type { IpPool } from '../resources/ip-pool.ts';
import {
  defaultIpamConfig,
  type IpamConfig,
  ipamConfigKey,
  parseIpamConfig,
} from '../resources/ipam-config.ts';
import { getResource, listResources } from '../resources/resource-store.ts';
import type { LabelRecord } from '../selector/selects.ts';
import { callOf, type StorePlace } from './stored-object.ts';

/** What an allocation goes by, as it is at one moment. */
export interface Situation {
  config: IpamConfig;
  pools: readonly IpPool[];
  nodeLabels: LabelRecord;
  isReserved(ip: IpAddress): boolean;
  /** The reserved range that has the whole block. */
  reservedAround(block: Cidr): Cidr | undefined;
}

/** Reads all of it at once. A node that the datastore does not know has no labels. */
export async function readSituation({ store, signal }: StorePlace, node: string): Promise<Situation> {
  const call = callOf(signal);
  const [config, { resources: pools }, { resources: reservations }, found] = await Promise.all([
    readConfig({ store, signal }),
    listResources(store, 'IPPool', call),
    listResources(store, 'IPReservation', call),
    getResource(store, 'Node', { name: node, ...call }),
  ]);
  const reserved = reservations.flatMap(({ spec }) => (spec.reservedCIDRs ?? []).map(parseCidr));
  return {
    config,
    pools,
    nodeLabels: found?.metadata.labels ?? {},
    isReserved: (ip) => reserved.some((range) => contains(range, ip)),
    reservedAround: (block) => reserved.find((range) => contains(range, block)),
  };
}

/** How addresses are given out. */
export async function readConfig({ store, signal }: StorePlace): Promise<IpamConfig> {
  const entry = await store.get(ipamConfigKey, callOf(signal));
  return entry === undefined ? defaultIpamConfig : parseIpamConfig(entry.value);
}

/** A block that a node has by its affinities. */
export interface OwnBlock {
  readonly cidr: Cidr;
  /** False for one that was not claimed or released to the end. */
  readonly isConfirmed: boolean;
}

/** The node's blocks, by their affinities. */
export async function listOwnBlocks(
  { store, signal }: StorePlace,
  node: string,
  family: IpFamily,
): Promise<OwnBlock[]> {
  const { entries } = await store.list(hostAffinitiesPrefix(node, family), callOf(signal));
  return entries.flatMap(({ key, value }) => {
    const cidr = parseAffinityKey(key)?.cidr;
    return cidr === undefined ? [] : [{ cidr, isConfirmed: parseAffinity(value, key).state === 'confirmed' }];
  });
}
