import { CniError, type Result } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import {
  type AddressOptions,
  addrAdd,
  addrDel,
  addrList,
  addrReplace,
  addrReplaceRequest,
  broadcastOf,
  type Cidr,
  contains,
  formatCidr,
  formatIp,
  type Link,
  linkGet,
  linkSet,
  networkOf,
  nextIp,
  parseCidr,
  parseIp,
  type Rtnl,
} from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ensureLinkLocal } from '../lib/link-local.ts';
import { enableForwarding, trySysctl } from '../lib/settings.ts';
import type { BridgeConfig } from './config.ts';

/** Gateways and default routes that the configuration asks for and IPAM did not give. */
export function completeGateways(result: Result, { isGateway, isDefaultGateway }: BridgeConfig): Result {
  const ips = (result.ips ?? []).map((ip) => {
    if (ip.gateway !== undefined || !isGateway) return ip;
    return { ...ip, gateway: formatIp(nextIp(networkOf(parseCidr(ip.address)).ip)!) };
  });
  const routes = [...(result.routes ?? [])];
  for (const { address, gateway } of isDefaultGateway ? ips : []) {
    const dst = address.includes(':') ? '::/0' : '0.0.0.0/0';
    if (!routes.some((route) => route.dst === dst))
      routes.push({ dst, ...(gateway !== undefined && { gw: gateway }) });
  }
  return { ...result, ips, ...(routes.length > 0 && { routes }) };
}

export interface GatewayOptions {
  forceAddress: boolean;
  /** Takes up the addresses that the bridge did not have before, to be undone. */
  added: Cidr[];
}

/** The gateway addresses that belong on the machine, with the prefixes of the pod's addresses. */
export function gatewaysOf({ ips = [] }: Result): Cidr[] {
  return ips.flatMap(({ address, gateway }) =>
    gateway === undefined ? [] : [{ ip: parseIp(gateway), prefix: parseCidr(address).prefix }],
  );
}

/**
 * Puts the gateways on the bridge, or on the machine's interface in a VLAN of it, and lets the machine forward. Gives
 * that link's hardware address, which does not change from then on. @throws CniError when another address is in the way
 */
export function setUpGateways(
  { rtnl, memory }: PluginHost,
  link: Link,
  gateways: readonly Cidr[],
  options: GatewayOptions,
): string {
  let { mac } = link;
  const known = memory.gateways.get(link.ifIndex) ?? new Set();
  const isKnown = (cidr: Cidr) => known.has(formatCidr(cidr));
  if (gateways.some(({ ip }) => ip.family === 6)) trySysctl(`net/ipv6/conf/${link.name}/disable_ipv6`, '0');
  // Known ones are only put back should somebody have taken them (field case NET-06).
  rtnl.executeAll(
    gateways.filter(isKnown).map((cidr) => addrReplaceRequest(link.ifIndex, cidr, addressOptions(cidr))),
  );
  for (const cidr of gateways.filter((cidr) => !isKnown(cidr))) {
    ensureAddress(rtnl, link, cidr, options);
    mac = pinMac(rtnl, link.ifIndex);
    if (cidr.ip.family === 6) ensureLinkLocal(rtnl, link, mac);
    memory.gateways.set(link.ifIndex, known.add(formatCidr(cidr)));
  }
  enableForwarding(gateways);
  return mac;
}

/** A bridge that others made takes the lowest address of its ports until it is given one. */
export function pinMac(rtnl: Rtnl, ifIndex: number): string {
  const { mac } = linkGet(rtnl, ifIndex);
  linkSet(rtnl, ifIndex, { mac });
  return mac;
}

function addressOptions(cidr: Cidr): AddressOptions {
  return cidr.ip.family === 4 ? { broadcast: broadcastOf(cidr) } : { noDad: true };
}

function ensureAddress(
  rtnl: Rtnl,
  { ifIndex, name }: Link,
  cidr: Cidr,
  { forceAddress, added }: GatewayOptions,
): void {
  try {
    addrAdd(rtnl, ifIndex, cidr, addressOptions(cidr));
    added.push(cidr);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    return;
  }
  const inTheWay = addrList(rtnl, { ifIndex, family: cidr.ip.family })
    .map((address) => address.cidr)
    .filter((other) => formatCidr(other) !== formatCidr(cidr) && isInTheWay(other, cidr));
  if (inTheWay.length > 0 && !forceAddress) {
    addrDel(rtnl, ifIndex, cidr);
    added.pop();
    throw new CniError(
      'internal',
      `${JSON.stringify(name)} already has an IP address different from ${formatCidr(cidr)}`,
      { details: `it has ${inTheWay.map(formatCidr).join(', ')}; forceAddress would replace it` },
    );
  }
  for (const other of inTheWay) addrDel(rtnl, ifIndex, other);
  // With an address in its network gone, the kernel may have taken this one too.
  if (inTheWay.length > 0) addrReplace(rtnl, ifIndex, cidr, addressOptions(cidr));
}

/** IPv4: any other address. IPv6: one of the same network. */
function isInTheWay(other: Cidr, cidr: Cidr): boolean {
  if (other.ip.family === 4) return true;
  return contains(other, cidr.ip) || contains(cidr, other.ip);
}
