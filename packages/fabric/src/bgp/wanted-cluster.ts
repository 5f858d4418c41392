import { createHash } from 'node:crypto';
import { type Cidr, contains, type IpAddress, type IpFamily, parseCidr, parseIp } from '@amphipod/netlink';
import type { IpPool } from '../resources/ip-pool.ts';
import type { Node } from '../resources/node.ts';
import { addressOf, type BgpFacts, type NodeBgp, nodeBgp, settingsOf } from './bgp-facts.ts';
import type { ClusterRoute } from './cluster-route.ts';
import { isWrittenByBird } from './common-filters.ts';
import { ownBlocks } from './node-networks.ts';

/** Another node behind the tunnel. */
export interface TunnelPeer {
  readonly vtep: IpAddress;
  readonly mac: string;
  /** The node. */
  readonly dst: IpAddress;
}

/** The tunnel of one family. */
export interface WantedTunnel {
  readonly family: IpFamily;
  /** This node's address on it. */
  readonly address: IpAddress;
  readonly mac: string;
  readonly peers: readonly TunnelPeer[];
}

/** What the kernel is to have for the routed network beside BIRD's routes. */
export interface WantedCluster {
  readonly routes: readonly ClusterRoute[];
  readonly tunnels: readonly WantedTunnel[];
  /** Address of this node on tunl0, where a pool has IPIP. */
  readonly ipip: IpAddress | undefined;
  readonly nat: { readonly pools: readonly string[]; readonly outgoing: readonly string[] };
  /** The node's own address, by which the link of the underlay is found. */
  readonly own: NodeBgp;
  readonly problems: readonly string[];
}

/** What follows for the kernel of this node; undefined while the node has no address. */
export function wantedCluster(facts: BgpFacts): WantedCluster | undefined {
  const resource = facts.nodes.find(({ metadata }) => metadata.name === facts.nodeName);
  const own = resource && nodeBgp(facts, resource);
  if (resource === undefined || own === undefined || (own.ipv4 ?? own.ipv6) === undefined) return undefined;
  const problems: string[] = [];
  const others = new Map(
    facts.nodes.flatMap((node) =>
      node === resource ? [] : [[node.metadata.name, { node, bgp: nodeBgp(facts, node) }]],
    ),
  );
  const { programClusterRoutes } = settingsOf(facts, own.name);
  const pools = facts.pools.map((pool) => ({ pool, network: parseCidr(pool.spec.cidr) }));
  const routes: ClusterRoute[] = ([4, 6] as const).flatMap((family) =>
    ownBlocks(facts, own.name, family).map((dst) => ({ dst, way: 'blackhole' as const })),
  );
  for (const { node: name, cidr: dst } of facts.blocks) {
    if (name === own.name) continue;
    const found = pools.find(({ network }) => contains(network, dst));
    if (found === undefined || isWrittenByBird(found.pool, programClusterRoutes)) continue;
    const other = others.get(name) as { node: Node; bgp: NodeBgp | undefined } | undefined;
    const made = blockRoute({ dst, pool: found.pool, own, other });
    if ('why' in made)
      problems.push(`block ${dst.ip.family === 4 ? '' : 'IPv6 '}of node "${name}": ${made.why}`);
    else routes.push(made);
  }
  return {
    routes,
    tunnels: ([4, 6] as const).flatMap((family) => tunnelOf(facts, { resource, own, family })),
    ipip: usesIpip(facts.pools) ? readIp(resource.spec.bgp?.ipv4IPIPTunnelAddr) : undefined,
    nat: {
      pools: pools.map(({ pool }) => pool.spec.cidr).sort(),
      outgoing: pools.flatMap(({ pool }) => (pool.spec.natOutgoing === true ? pool.spec.cidr : [])).sort(),
    },
    own,
    problems,
  };
}

interface BlockOfNode {
  dst: Cidr;
  pool: IpPool;
  own: NodeBgp;
  other: { node: Node; bgp: NodeBgp | undefined } | undefined;
}

function blockRoute({ dst, pool, own, other }: BlockOfNode): ClusterRoute | { why: string } {
  const { family } = dst.ip;
  const address = other?.bgp && addressOf(other.bgp, family);
  if (other === undefined || address === undefined) return { why: `it has no IPv${family} address` };
  const { vxlanMode, ipipMode } = pool.spec;
  const isNear = addressOf(own, family) !== undefined && contains(addressOf(own, family)!, address.ip);
  const tunnel = isEncapsulated(vxlanMode) ? 'vxlan' : isEncapsulated(ipipMode) ? 'ipip' : undefined;
  const mode = tunnel === 'vxlan' ? vxlanMode : ipipMode;
  if (tunnel === undefined || (mode === 'CrossSubnet' && isNear)) {
    return isNear
      ? { dst, way: 'direct', gateway: address.ip }
      : { why: 'it is not in our subnet, and the pool has no tunnel' };
  }
  if (tunnel === 'ipip') return { dst, way: 'ipip', gateway: address.ip };
  const vtep = vtepOf(other.node, family);
  return vtep === undefined
    ? { why: 'it has no VXLAN tunnel address yet' }
    : { dst, way: 'vxlan', gateway: vtep };
}

function isEncapsulated(mode: string | undefined): boolean {
  return mode === 'Always' || mode === 'CrossSubnet';
}

/** Whether a pool of a family needs a tunnel. */
export function usesVxlan(pools: readonly IpPool[], family: IpFamily): boolean {
  return pools.some(
    ({ spec }) => isEncapsulated(spec.vxlanMode) && parseCidr(spec.cidr).ip.family === family,
  );
}

export function usesIpip(pools: readonly IpPool[]): boolean {
  return pools.some(({ spec }) => isEncapsulated(spec.ipipMode));
}

interface OwnInFamily {
  resource: Node;
  own: NodeBgp;
  family: IpFamily;
}

function tunnelOf(facts: BgpFacts, { resource, own, family }: OwnInFamily): WantedTunnel[] {
  const address = vtepOf(resource, family);
  if (address === undefined || addressOf(own, family) === undefined || !usesVxlan(facts.pools, family))
    return [];
  const peers = facts.nodes.flatMap((node) => {
    if (node === resource) return [];
    const bgp = nodeBgp(facts, node);
    const [vtep, dst] = [vtepOf(node, family), bgp && addressOf(bgp, family)?.ip];
    return vtep === undefined || dst === undefined ? [] : { vtep, mac: vtepMac(node, family), dst };
  });
  return [{ family, address, mac: vtepMac(resource, family), peers }];
}

function vtepOf({ spec }: Node, family: IpFamily): IpAddress | undefined {
  return readIp(family === 4 ? spec.ipv4VXLANTunnelAddr : spec.ipv6VXLANTunnelAddr);
}

function readIp(text: string | undefined): IpAddress | undefined {
  return text === undefined ? undefined : parseIp(text);
}

/** The hardware address that a node says it has, else the one that follows from its name, as in Calico. */
function vtepMac({ metadata, spec }: Node, family: IpFamily): string {
  const given = family === 4 ? spec.vxlanTunnelMACAddr : spec.vxlanTunnelMACAddrV6;
  if (given !== undefined) return given;
  const hash = createHash('sha1')
    .update(family === 4 ? metadata.name : `${metadata.name}-v6`)
    .digest();
  return [0x66, ...hash.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
