import { type Cidr, type IpFamily, parseCidr } from '@amphipod/netlink';
import type { BgpConfiguration, BgpConfigurationSpec } from '../resources/bgp-configuration.ts';
import type { BgpFilter } from '../resources/bgp-filter.ts';
import type { BgpPeer, BgpPeerSpec } from '../resources/bgp-peer.ts';
import type { IpPool } from '../resources/ip-pool.ts';
import type { Node } from '../resources/node.ts';
import type { WorkloadEndpoint } from '../resources/workload-endpoint.ts';

const USUAL_AS = 64_512;
/** The port of BGP. */
export const usualPort = 179;
const USUAL_PRIORITY = 1024;

/** A block of addresses and the node that it belongs to. */
export interface NodeBlock {
  readonly node: string;
  readonly cidr: Cidr;
}

/** All that a node's BGP follows from. */
export interface BgpFacts {
  /** Name of this node. */
  readonly nodeName: string;
  readonly nodes: readonly Node[];
  readonly pools: readonly IpPool[];
  readonly peers: readonly BgpPeer[];
  readonly filters: readonly BgpFilter[];
  readonly configurations: readonly BgpConfiguration[];
  /** Of all nodes. */
  readonly blocks: readonly NodeBlock[];
  /** Those of this node that may be peers. */
  readonly endpoints: readonly WorkloadEndpoint[];
  /** Reads a key of a secret; undefined while there is none. */
  readonly password: (name: string, key: string) => string | undefined;
}

/** BGP of one node, with what was not given filled in. */
export interface NodeBgp {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly asNumber: number;
  readonly port: number;
  /** With the prefix length of the node's network. */
  readonly ipv4: Cidr | undefined;
  readonly ipv6: Cidr | undefined;
  /** An IPv4 address, for a route reflector. */
  readonly clusterId: string | undefined;
}

/** The settings of a node: those of `default`, and over them those of `node.NAME`. */
export function settingsOf({ configurations }: BgpFacts, node: string): BgpConfigurationSpec {
  const named = (name: string) => configurations.find(({ metadata }) => metadata.name === name)?.spec;
  return { ...named('default'), ...named(`node.${node}`) };
}

/** What is known of a node's BGP; undefined for a node that has none. */
export function nodeBgp(facts: BgpFacts, { metadata, spec }: Node): NodeBgp | undefined {
  const { bgp } = spec;
  if (bgp === undefined) return undefined;
  const settings = settingsOf(facts, metadata.name);
  const read = (text: string | undefined) => (text === undefined ? undefined : parseCidr(text));
  return {
    name: metadata.name,
    labels: metadata.labels ?? {},
    asNumber: bgp.asNumber ?? settings.asNumber ?? USUAL_AS,
    port: settings.listenPort ?? usualPort,
    ipv4: read(bgp.ipv4Address),
    ipv6: read(bgp.ipv6Address),
    clusterId: bgp.routeReflectorClusterID,
  };
}

/** The node's address of a family. */
export function addressOf({ ipv4, ipv6 }: NodeBgp, family: IpFamily): Cidr | undefined {
  return family === 4 ? ipv4 : ipv6;
}

/** The metric of routes that nothing is said of. */
export function normalPriority(settings: BgpConfigurationSpec, family: IpFamily): number {
  const given = family === 4 ? settings.ipv4NormalRoutePriority : settings.ipv6NormalRoutePriority;
  return given ?? USUAL_PRIORITY;
}

/** A password that a resource refers to. */
export type PasswordRef = NonNullable<BgpPeerSpec['password']>;
