import { CniError, type PluginRequest, type Result, type ResultInterface } from '@amphipod/cni';
import {
  addrList,
  type Cidr,
  formatCidr,
  type Link,
  linkFind,
  networkOf,
  parseCidr,
  parseIp,
  type Route,
  type Rtnl,
  routeList,
} from '@amphipod/netlink';
import type { Pod } from './host.ts';

/** What CHECK found wrong: number 100. */
export function checkFailure(message: string): CniError {
  return new CniError('plugin-specific', message);
}

/** The pod's interface in a result. @throws CniError */
export function findPodInterface(
  { interfaces = [] }: Result,
  { ifName, netns }: PluginRequest,
): ResultInterface {
  const found = interfaces.find(({ name, sandbox }) => name === ifName && sandbox !== undefined);
  if (found === undefined) {
    throw checkFailure(`interface ${JSON.stringify(ifName)} of the pod is not in the previous result`);
  }
  if (found.sandbox !== netns) {
    throw checkFailure(`Sandbox in prevResult ${found.sandbox} doesn't match configured netns: ${netns}`);
  }
  return found;
}

/** The pod's interface in the kernel, with the hardware address of the result, up, with its addresses and routes. */
export function checkPodInterface(pod: Pod, result: Result, { name, mac }: ResultInterface): Link {
  const link = linkFind(pod.rtnl, name);
  if (link === undefined) throw checkFailure(`container interface ${name} not found`);
  if (mac !== undefined && mac.toLowerCase() !== link.mac) {
    throw checkFailure(`interface ${name} has hardware address ${link.mac}, prevResult says ${mac}`);
  }
  checkAddresses(pod, result, link);
  checkRoutes(pod, result);
  return link;
}

/** The host's end of the pod's veth: listed in the result, and up. Without a look at its hardware address (field case CNI-17). */
export function checkHostEnd(rtnl: Rtnl, podLink: Link, { interfaces = [] }: Result): Link {
  const hostEnd = podLink.peerIndex === undefined ? undefined : linkFind(rtnl, podLink.peerIndex);
  if (podLink.kind !== 'veth' || hostEnd === undefined) {
    throw checkFailure(`interface ${podLink.name} is no veth with its other end on this host`);
  }
  if (!interfaces.some(({ name, sandbox }) => name === hostEnd.name && sandbox === undefined)) {
    throw checkFailure(`host interface ${hostEnd.name} is not in the previous result`);
  }
  if (!hostEnd.flags.up) throw checkFailure(`host interface ${hostEnd.name} is down`);
  return hostEnd;
}

/** The gateways' addresses on the host's link that is to have them. */
export function checkGateways(
  rtnl: Rtnl,
  { ifIndex, name }: Pick<Link, 'ifIndex' | 'name'>,
  gateways: readonly Cidr[],
): void {
  const present = addressesOf(rtnl, ifIndex);
  for (const gateway of gateways.map(formatCidr)) {
    if (!present.has(gateway)) throw checkFailure(`gateway address ${gateway} of ${name} not found`);
  }
}

function addressesOf(rtnl: Rtnl, ifIndex: number): Set<string> {
  return new Set(addrList(rtnl, { ifIndex }).map(({ cidr }) => formatCidr(cidr)));
}

function checkAddresses(pod: Pod, { ips = [], interfaces = [] }: Result, { ifIndex, name }: Link): void {
  const present = addressesOf(pod.rtnl, ifIndex);
  for (const { address, interface: index } of ips) {
    if (index !== undefined && interfaces[index]?.name !== name) continue;
    if (!present.has(formatCidr(parseCidr(address)))) {
      throw checkFailure(`Failed to find address ${address} of interface ${name}`);
    }
  }
}

function checkRoutes(pod: Pod, { routes = [] }: Result): void {
  for (const { dst, gw, table } of routes) {
    const wanted = formatCidr(networkOf(parseCidr(dst)));
    const { family } = parseCidr(dst).ip;
    // Where the result names no table: sbr and vrf move routes to another one.
    const present = routeList(pod.rtnl, { family, table: table ?? 'all' });
    if (!present.some((route) => matches(route, wanted, gw))) {
      throw checkFailure(
        `Expected Route ${dst}${gw === undefined ? '' : ` via ${gw}`} not found in routing table`,
      );
    }
  }
}

function matches(route: Route, wanted: string, gw: string | undefined): boolean {
  const dst = route.dst === undefined ? (route.family === 4 ? '0.0.0.0/0' : '::/0') : formatCidr(route.dst);
  if (dst !== wanted) return false;
  if (gw === undefined) return true;
  const { value } = parseIp(gw);
  return [route, ...(route.nextHops ?? [])].some(({ gateway }) => gateway?.value === value);
}
