import { contains, formatIp, type IpAddress, parseCidr, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import type { AllocationAttribute } from '../resources/ipam-block.ts';
import type { Node } from '../resources/node.ts';
import { listResources } from '../resources/resource-store.ts';
import type { AddressUse } from './check.ts';
import { callOf, type StorePlace } from './stored-object.ts';

/** Which addresses of pools are in use: those of WorkloadEndpoints, and those that nodes have on their tunnels. */
export async function readAddressUse({ store, signal }: StorePlace): Promise<AddressUse> {
  const call = callOf(signal);
  const [pools, endpoints, nodes] = await Promise.all([
    listResources(store, 'IPPool', call),
    listResources(store, 'WorkloadEndpoint', call),
    listResources(store, 'Node', call),
  ]);
  const ranges = pools.resources.map(({ spec }) => parseCidr(spec.cidr));
  const use = new Map<string, string[]>();
  const add = (text: string | undefined, user: string) => {
    const ip = text === undefined ? undefined : readIp(text);
    if (ip === undefined || !ranges.some((range) => contains(range, ip))) return;
    use.set(formatIp(ip), [...(use.get(formatIp(ip)) ?? []), user]);
  };
  for (const { metadata, spec } of endpoints.resources) {
    for (const text of spec.ipNetworks ?? [])
      add(text, `WorkloadEndpoint ${metadata.namespace}/${metadata.name}`);
  }
  for (const node of nodes.resources) {
    for (const text of tunnelAddresses(node)) add(text, `Node ${node.metadata.name}`);
  }
  return use;
}

function readIp(text: string): IpAddress | undefined {
  return tryParseIp(text) ?? tryParseCidr(text)?.ip;
}

function tunnelAddresses({ spec }: Node): (string | undefined)[] {
  return [
    spec.bgp?.ipv4IPIPTunnelAddr,
    spec.ipv4VXLANTunnelAddr,
    spec.ipv6VXLANTunnelAddr,
    spec.wireguard?.interfaceIPv4Address,
    spec.wireguard?.interfaceIPv6Address,
  ];
}

/**
 * True when an address was taken less than `ageMs` ago: whoever took it may not have written yet what it is for. One that does not
 * say when it was taken is old.
 */
export function isYoungerThan(ageMs: number, nowMs: number): (attribute: AllocationAttribute) => boolean {
  return ({ secondary }) => parseTime(secondary?.timestamp ?? '') + ageMs > nowMs;
}

/** Calico writes times as Go prints them: `2026-12-01 12:00:00.123456789 +0000 UTC`. NaN for what is none. */
function parseTime(text: string): number {
  return Date.parse(text.replace(/^(\S+) (\S+) \+0000 UTC.*$/, '$1T$2Z'));
}
