import { randomInt } from 'node:crypto';
import { isCode } from '@amphipod/linux';
import {
  type Cidr,
  cidrOf,
  compareIp,
  formatCidr,
  type IpAddress,
  ipPlus,
  overlaps,
} from '@amphipod/netlink';
import type { CallOptions, Datastore, Entry } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import { ipKey } from './ip-key.ts';
import {
  formatAttributes,
  isSameNode,
  type Lease,
  type LeaseAttributes,
  leaseName,
  parseLease,
} from './lease.ts';
import type { AcquireOptions, OwnLease } from './lease-store.ts';
import type { FamilyNetwork, NetworkConfig } from './network-config.ts';

/** How long a lease lives when nobody renews it. */
export const leaseTtlSeconds = 24 * 60 * 60;
const RACES = 100;
const CHOICES = 100;

/** Where in a datastore leases are kept. */
export interface LeaseKeys {
  store: Datastore;
  /** `/coreos.com/network` */
  prefix: string;
}

/** A lease with the entry that holds it; its id is the entry's key. */
export interface HeldLease extends OwnLease {
  readonly entry: Entry;
}

type Subnets = Pick<Lease, 'subnet' | 'ipv6Subnet'>;

/** `/coreos.com/network/subnets/`, the prefix of all leases. */
export function leasesPrefix(prefix: string): string {
  return `${prefix}/subnets/`;
}

/**
 * Gets a subnet for this node: the one that is noted down for its public address (a lease of before, or a reservation, which
 * is an entry without a time to live), else that of the last time, else a free one at random. Tries again when another
 * node was faster.
 * @throws FabricError `no-free-subnet`, and those of the datastore
 */
export async function acquireLease(
  { store, prefix }: LeaseKeys,
  config: NetworkConfig,
  options: AcquireOptions & { ttlSeconds?: number },
): Promise<HeldLease> {
  for (let tries = 0; tries < RACES; tries++) {
    try {
      return await tryAcquire({ store, prefix }, config, options);
    } catch (error) {
      if (!isCode(error, 'conflict')) throw error;
      options.signal?.throwIfAborted();
    }
  }
  throw new FabricError('conflict', `acquire subnet lease: lost ${RACES} races against other nodes`);
}

async function tryAcquire(
  { store, prefix }: LeaseKeys,
  config: NetworkConfig,
  options: AcquireOptions & { ttlSeconds?: number },
): Promise<HeldLease> {
  const { attributes, previous, ttlSeconds = leaseTtlSeconds, signal } = options;
  const call = signal === undefined ? {} : { signal };
  const { own, others } = await listLeases({ store, prefix }, attributes, call);
  const value = formatAttributes(attributes);
  const kept = own.find(({ lease }) => isOfConfig(lease, config));
  for (const stale of own) {
    if (stale !== kept) await store.delete(stale.entry.key, { ...call, expected: stale.entry.revision });
  }
  if (kept !== undefined) {
    const { key, revision, leaseId } = kept.entry;
    const isReserved = leaseId === undefined;
    const entry = await store.put(key, value, {
      ...call,
      expected: revision,
      ...(!isReserved && { ttlSeconds }),
    });
    return heldLease({ ...kept.lease, attributes }, entry);
  }
  const taken = others.map(({ lease }) => lease);
  const subnets =
    previous !== undefined && isOfConfig(previous, config) && isFree(previous, taken)
      ? previous
      : chooseSubnets(config, taken);
  const key = `${leasesPrefix(prefix)}${leaseName(subnets)}`;
  const entry = await store.put(key, value, { ...call, expected: 0n, ttlSeconds });
  const made = heldLease({ ...subnets, attributes }, entry);
  await yieldToEarlier({ store, prefix }, made, call);
  return made;
}

/**
 * The key holds both subnets of a node, so that the store does not see when two nodes choose one of them alike. Whoever was
 * second gives way.
 * @throws FabricError `conflict`
 */
async function yieldToEarlier(
  { store, prefix }: LeaseKeys,
  { lease, entry }: HeldLease,
  call: CallOptions,
): Promise<void> {
  const { others } = await listLeases({ store, prefix }, lease.attributes, call);
  const earlier = others.filter((other) => other.entry.revision < entry.revision).map((other) => other.lease);
  if (isFree(lease, earlier)) return;
  await store.delete(entry.key, { ...call, expected: entry.revision });
  throw new FabricError('conflict', `acquire subnet lease: ${leaseName(lease)} overlaps an earlier one`);
}

/** All leases: those of the node with these attributes, and the others. */
async function listLeases(
  { store, prefix }: LeaseKeys,
  attributes: LeaseAttributes,
  call: CallOptions,
): Promise<{ own: HeldLease[]; others: HeldLease[] }> {
  const { entries } = await store.list(leasesPrefix(prefix), call);
  const [own, others]: [HeldLease[], HeldLease[]] = [[], []];
  for (const entry of entries) {
    const lease = parseLease(entry.key, entry.value);
    if (lease !== undefined)
      (isSameNode(lease.attributes, attributes) ? own : others).push(heldLease(lease, entry));
  }
  return { own, others };
}

function heldLease(lease: Lease, entry: Entry): HeldLease {
  return { id: entry.key, lease, entry, expires: entry.leaseId !== undefined };
}

/**
 * Renews the node's lease, with the same subnets under all circumstances: an entry that has run out, or says something else of the
 * node than it ought to, is written again.
 * @returns undefined when another node has the subnet by now
 */
export async function renewLease(
  { store, prefix }: LeaseKeys,
  { id, lease }: OwnLease,
  { ttlSeconds = leaseTtlSeconds, signal }: { ttlSeconds?: number; signal?: AbortSignal } = {},
): Promise<HeldLease | undefined> {
  const call = signal === undefined ? {} : { signal };
  const value = formatAttributes(lease.attributes);
  const entry = await store.get(id, call);
  if (entry !== undefined) {
    const found = parseLease(entry.key, entry.value);
    if (found === undefined || !isSameNode(found.attributes, lease.attributes)) return undefined;
    if (entry.value !== value) {
      const ttl = entry.leaseId === undefined ? {} : { ttlSeconds };
      return heldLease(lease, await store.put(id, value, { ...call, expected: entry.revision, ...ttl }));
    }
    if (await store.renew(entry, call)) return heldLease(lease, entry);
  }
  try {
    const again = heldLease(lease, await store.put(id, value, { ...call, expected: 0n, ttlSeconds }));
    await yieldToEarlier({ store, prefix }, again, call);
    return again;
  } catch (error) {
    if (isCode(error, 'conflict')) return undefined;
    throw error;
  }
}

/** True when the subnets are such as this configuration gives. */
function isOfConfig(subnets: Subnets, { ipv4, ipv6 }: NetworkConfig): boolean {
  return isOfFamily(subnets.subnet, ipv4) && isOfFamily(subnets.ipv6Subnet, ipv6);
}

function isOfFamily(subnet: Cidr | undefined, family: FamilyNetwork | undefined): boolean {
  if (subnet === undefined || family === undefined) return subnet === undefined && family === undefined;
  return (
    subnet.prefix === family.subnetPrefix &&
    compareIp(family.first, subnet.ip) <= 0 &&
    compareIp(subnet.ip, family.last) <= 0
  );
}

function isFree({ subnet, ipv6Subnet }: Subnets, taken: readonly Lease[]): boolean {
  const isApart = (a: Cidr | undefined, b: Cidr | undefined) =>
    a === undefined || b === undefined || !overlaps(a, b);
  return taken.every((lease) => isApart(subnet, lease.subnet) && isApart(ipv6Subnet, lease.ipv6Subnet));
}

function chooseSubnets({ ipv4, ipv6 }: NetworkConfig, taken: readonly Lease[]): Subnets {
  const known = (subnets: (Cidr | undefined)[]) => subnets.filter((subnet) => subnet !== undefined);
  return {
    ...(ipv4 && { subnet: chooseSubnet(ipv4, known(taken.map(({ subnet }) => subnet))) }),
    ...(ipv6 && { ipv6Subnet: chooseSubnet(ipv6, known(taken.map(({ ipv6Subnet }) => ipv6Subnet))) }),
  };
}

/** One of the first hundred free subnets at random, so that nodes that start together seldom want the same. */
function chooseSubnet(family: FamilyNetwork, taken: readonly Cidr[]): Cidr {
  const { subnetPrefix, first, last, network } = family;
  const step = 1n << BigInt((network.ip.family === 4 ? 32 : 128) - subnetPrefix);
  const sameSize = new Set(taken.filter(({ prefix }) => prefix === subnetPrefix).map(({ ip }) => ipKey(ip)));
  const otherSizes = taken.filter(({ prefix }) => prefix !== subnetPrefix);
  const free: Cidr[] = [];
  let at: IpAddress | undefined = first;
  while (at !== undefined && compareIp(at, last) <= 0 && free.length < CHOICES) {
    const subnet = cidrOf(at, subnetPrefix);
    if (!sameSize.has(ipKey(at)) && !otherSizes.some((other) => overlaps(subnet, other))) free.push(subnet);
    at = ipPlus(at, step);
  }
  if (free.length > 0) return free[randomInt(free.length)]!;
  throw new FabricError(
    'no-free-subnet',
    `acquire subnet lease: all subnets of ${formatCidr(network)} from ${formatCidr(cidrOf(first, subnetPrefix))} to ${formatCidr(cidrOf(last, subnetPrefix))} are taken`,
  );
}
