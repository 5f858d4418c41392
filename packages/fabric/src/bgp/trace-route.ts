import {
  type Cidr,
  contains,
  formatCidr,
  formatIp,
  type IpAddress,
  type Neighbour,
  parseCidr,
  parseIp,
  type Route,
} from '@amphipod/netlink';
import type { WorkloadEndpoint } from '../resources/workload-endpoint.ts';
import { addressOf, type BgpFacts, nodeBgp } from './bgp-facts.ts';

/** What is known of this node's kernel about one address. */
export interface LocalView {
  /** What `ip route get` finds; undefined for no route. */
  readonly route: Route | undefined;
  readonly linkName: (ifIndex: number) => string;
  readonly isLinkUp: (ifIndex: number) => boolean;
  readonly neighbour: (ifIndex: number, ip: IpAddress) => Neighbour | undefined;
  readonly isForwarding: boolean;
}

/** One step of a packet's way. */
export interface Hop {
  /** `node "a"`, `pod "default/web"`, `gateway 192.0.2.254` */
  readonly at: string;
  /** What happens there. */
  readonly what: string;
  /** Set on the last hop when the packet does not get further. */
  readonly stops?: boolean;
}

const PROTOCOLS: Record<number, string> = {
  2: 'kernel',
  3: 'boot',
  4: 'static',
  12: 'bird',
  97: 'overlay',
  98: 'agent',
};

/** The way of a packet from this node to an address, as far as this node's kernel and the datastore tell. */
export function traceRoute(facts: BgpFacts, to: IpAddress, view: LocalView): Hop[] {
  const here = `node "${facts.nodeName}"`;
  const endpoint = endpointOf(facts, to);
  const owner = ownerOf(facts, to);
  const { route } = view;
  if (route === undefined)
    return [{ at: here, what: `has no route to ${formatIp(to)}${hint(facts, owner)}`, stops: true }];
  const described = describe(route, view);
  const type = route.type ?? 'unicast';
  if (type === 'local') return [{ at: here, what: `${described}: it is an address of this node` }];
  if (type !== 'unicast') {
    const why =
      owner?.node === facts.nodeName && endpoint === undefined
        ? ': in a block of this node, and no pod has it'
        : '';
    return [{ at: here, what: `${described}${why}`, stops: true }];
  }
  const problem = linkProblem(route, to, view);
  if (problem !== undefined) return [{ at: here, what: `${described}: ${problem}`, stops: true }];
  const first: Hop = { at: here, what: described };
  const gateway = route.gateway ?? route.nextHops?.[0]?.gateway;
  if (gateway === undefined) return [first, lastHop(endpoint, to, facts.nodeName)];
  return [first, ...beyond(facts, { to, gateway, owner, endpoint })];
}

interface Beyond {
  to: IpAddress;
  gateway: IpAddress;
  owner: Owner | undefined;
  endpoint: WorkloadEndpoint | undefined;
}

function beyond(facts: BgpFacts, { to, gateway, owner, endpoint }: Beyond): Hop[] {
  const next = nodeAt(facts, gateway);
  if (next === undefined) {
    return [
      { at: `gateway ${formatIp(gateway)}`, what: 'is no node of ours: what it does is not known here' },
    ];
  }
  const at = `node "${next}"`;
  const lives = endpoint?.spec.node;
  if (lives === next)
    return [
      { at, what: `has the pod on ${endpoint!.spec.interfaceName ?? 'an interface'}` },
      lastHop(endpoint, to, next),
    ];
  if (lives !== undefined) {
    const what = `does not have the pod: it is on node "${lives}", and the route is an old one, or not told yet`;
    return [{ at, what, stops: owner?.node !== next }];
  }
  if (owner?.node === next)
    return [{ at, what: `has the block ${formatCidr(owner.cidr)}, and no pod has the address`, stops: true }];
  return [{ at, what: 'has neither the address nor its block, as far as the datastore says', stops: true }];
}

function lastHop(endpoint: WorkloadEndpoint | undefined, to: IpAddress, node: string): Hop {
  if (endpoint === undefined) return { at: formatIp(to), what: 'is reached on the link' };
  const { metadata, spec } = endpoint;
  const name = `${metadata.namespace ?? 'default'}/${spec.pod ?? metadata.name}`;
  return { at: `pod "${name}"`, what: `has ${formatIp(to)} on node "${node}"` };
}

function describe(route: Route, { linkName }: LocalView): string {
  const network = route.dst === undefined ? 'default' : formatCidr(route.dst);
  const ways = route.nextHops ?? [route];
  const way = ways
    .map(
      ({ gateway, ifIndex }) =>
        `${gateway === undefined ? '' : ` via ${formatIp(gateway)}`}${ifIndex === undefined ? '' : ` dev ${linkName(ifIndex)}`}`,
    )
    .join(' or');
  const protocol = PROTOCOLS[route.protocol] ?? String(route.protocol);
  const type = route.type === undefined || route.type === 'unicast' ? '' : `${route.type} `;
  return `${type}${network}${type === '' ? way : ''} (${protocol})`;
}

function linkProblem({ ifIndex, gateway }: Route, to: IpAddress, view: LocalView): string | undefined {
  if (ifIndex === undefined) return undefined;
  if (!view.isLinkUp(ifIndex)) return `the link ${view.linkName(ifIndex)} is down`;
  const next = gateway ?? to;
  const state = view.neighbour(ifIndex, next)?.state;
  if (state === 'failed') return `${formatIp(next)} does not answer on ${view.linkName(ifIndex)}`;
  return view.isForwarding ? undefined : 'this node does not forward packets of pods: ip_forward is 0';
}

function hint({ nodeName }: BgpFacts, owner: Owner | undefined): string {
  if (owner === undefined) return ', and no node has a block with it';
  return owner.node === nodeName
    ? `: its block ${formatCidr(owner.cidr)} is of this node, whose agent does not run`
    : `: its block ${formatCidr(owner.cidr)} is of node "${owner.node}", which does not tell us (amphipod net bgp)`;
}

interface Owner {
  node: string;
  cidr: Cidr;
}

function ownerOf({ blocks }: BgpFacts, ip: IpAddress): Owner | undefined {
  return blocks.find(({ cidr }) => contains(cidr, ip));
}

/** The endpoint that has an address. */
function endpointOf({ endpoints }: BgpFacts, ip: IpAddress): WorkloadEndpoint | undefined {
  return endpoints.find(({ spec }) =>
    (spec.ipNetworks ?? []).some((text) => sameIp(parseIp(text.split('/')[0]!), ip)),
  );
}

/** The node that has an address, its own or one on a tunnel. */
function nodeAt(facts: BgpFacts, ip: IpAddress): string | undefined {
  return facts.nodes.find((node) => {
    const { spec } = node;
    const bgp = nodeBgp(facts, node);
    const tunnels = [spec.ipv4VXLANTunnelAddr, spec.ipv6VXLANTunnelAddr, spec.bgp?.ipv4IPIPTunnelAddr];
    const own = bgp && addressOf(bgp, ip.family)?.ip;
    return (
      (own !== undefined && sameIp(own, ip)) ||
      tunnels.some((text) => text !== undefined && sameIp(parseIp(text), ip))
    );
  })?.metadata.name;
}

function sameIp(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.value === b.value;
}

/** The addresses of a pod: `NAMESPACE/POD`, or `POD` of the namespace default. */
export function podAddresses({ endpoints }: BgpFacts, name: string): IpAddress[] {
  const [namespace, pod] = name.includes('/') ? name.split('/') : ['default', name];
  return endpoints
    .filter(
      ({ metadata, spec }) =>
        (metadata.namespace ?? 'default') === namespace && (spec.pod ?? metadata.name) === pod,
    )
    .flatMap(({ spec }) =>
      (spec.ipNetworks ?? []).map((text) => (text.includes('/') ? parseCidr(text).ip : parseIp(text))),
    );
}
