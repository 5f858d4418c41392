// Facts for tests of BGP.
import type { BgpConfigurationSpec } from '../resources/bgp-configuration.ts';
import type { BgpFilterSpec } from '../resources/bgp-filter.ts';
import type { BgpPeerSpec } from '../resources/bgp-peer.ts';
import type { IpPoolSpec } from '../resources/ip-pool.ts';
import { apiVersion } from '../resources/metadata.ts';
import type { NodeSpec } from '../resources/node.ts';
import type { BgpFacts } from './bgp-facts.ts';

export function testNode(
  name: string,
  bgp: NonNullable<NodeSpec['bgp']>,
  labels: Record<string, string> = {},
) {
  return { kind: 'Node', apiVersion, metadata: { name, labels }, spec: { bgp } } as const;
}

export function testPeer(name: string, spec: BgpPeerSpec) {
  return { kind: 'BGPPeer', apiVersion, metadata: { name }, spec } as const;
}

export function testFilter(name: string, spec: BgpFilterSpec) {
  return { kind: 'BGPFilter', apiVersion, metadata: { name }, spec } as const;
}

export function testPool(name: string, cidr: string, spec: Omit<IpPoolSpec, 'cidr'> = {}) {
  return { kind: 'IPPool', apiVersion, metadata: { name }, spec: { cidr, ...spec } } as const;
}

export function testConfiguration(name: string, spec: BgpConfigurationSpec) {
  return { kind: 'BGPConfiguration', apiVersion, metadata: { name }, spec } as const;
}

/** Three nodes, `a` (ours), `b` and `c`, with both families, in a mesh. */
export function testFacts(more: Partial<BgpFacts> = {}): BgpFacts {
  const node = (name: string, last: number) =>
    testNode(name, { ipv4Address: `192.0.2.${last}/24`, ipv6Address: `2001:db8::${last}/64` });
  return {
    nodeName: 'a',
    nodes: [node('a', 1), node('b', 2), node('c', 3)],
    pools: [testPool('blue', '10.0.0.0/16'), testPool('blue6', 'fd00:10::/48')],
    peers: [],
    filters: [],
    configurations: [],
    blocks: [],
    endpoints: [],
    password: () => undefined,
    ...more,
  };
}
