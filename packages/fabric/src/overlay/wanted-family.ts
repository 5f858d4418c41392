import {
  type Cidr,
  contains,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpFamily,
  overlaps,
} from '@amphipod/netlink';
import { cidrKey, ipKey } from './ip-key.ts';
import { isOfBackend, type Lease } from './lease.ts';
import type { BackendConfig, WireguardConfig } from './network-config.ts';
import { type ReadonlyTrackedMap, TrackedMap } from './tracked-map.ts';
import type { Underlay, VxlanPeer, WantedDevice, WantedRoute } from './wanted-state.ts';
import { endpointOf, type TunnelPeer, tunnelName } from './wanted-tunnel.ts';

/** What leases are judged by in one family. */
export interface FamilyFacts {
  family: IpFamily;
  backend: BackendConfig;
  underlay: Underlay;
  ownSubnet: Cidr;
  /** For vxlan. */
  device?: WantedDevice;
}

/** What one lease asks for. */
type Part =
  | { readonly why: string }
  | {
      readonly why?: undefined;
      readonly route: WantedRoute;
      readonly vxlan?: VxlanPeer;
      readonly tunnel?: TunnelPeer;
    };

/** A claim is the first address of a subnet, a hardware address or a public key: only one node can have it. */
type Claim = bigint | string;

/**
 * What the kernel is to have for the other nodes, in one family. Follows from the leases alone, whatever the order in which they
 * came: of several that claim the same subnet or hardware address the first by its id in the store counts.
 */
export class WantedFamily {
  readonly family: IpFamily;
  readonly device: WantedDevice | undefined;
  readonly #facts: FamilyFacts;
  readonly #parts = new Map<string, Part>();
  /** The names of those that claim something, sorted. */
  readonly #claims = new Map<Claim, string[]>();
  readonly #neighbours = new TrackedMap<bigint, VxlanPeer>();
  readonly #fdb = new TrackedMap<string, VxlanPeer>();
  readonly #tunnelPeers = new TrackedMap<string, TunnelPeer>();
  readonly #routes = new TrackedMap<bigint, WantedRoute>();

  constructor(facts: FamilyFacts) {
    this.#facts = facts;
    this.family = facts.family;
    this.device = facts.device;
  }

  /** By {@link ipKey} of their address on the device. */
  get neighbours(): ReadonlyTrackedMap<bigint, VxlanPeer> {
    return this.#neighbours;
  }

  /** By hardware address. */
  get fdb(): ReadonlyTrackedMap<string, VxlanPeer> {
    return this.#fdb;
  }

  /** By public key. */
  get tunnelPeers(): ReadonlyTrackedMap<string, TunnelPeer> {
    return this.#tunnelPeers;
  }

  /** By {@link cidrKey}. */
  get routes(): ReadonlyTrackedMap<bigint, WantedRoute> {
    return this.#routes;
  }

  get underlayIndex(): number {
    return this.#facts.underlay.ifIndex;
  }

  get hasChanges(): boolean {
    const tables = [this.#neighbours, this.#fdb, this.#tunnelPeers, this.#routes];
    return tables.some((table) => table.hasChanges);
  }

  /** Takes a lease in the place of the one that has this name; undefined for none. */
  set(name: string, lease: Lease | undefined): void {
    const old = this.#parts.get(name);
    const now = lease === undefined ? undefined : judge(lease, this.#facts);
    if (old !== undefined) {
      this.#remove(old, name);
      this.#parts.delete(name);
      for (const claim of claimsOf(old)) this.#disclaim(claim, name);
    }
    if (now === undefined) return;
    this.#parts.set(name, now);
    for (const claim of claimsOf(now)) this.#claim(claim, name);
    this.#place(now, name);
  }

  /** Why nothing is done for a lease; undefined when there is. */
  whyNot(name: string): string | undefined {
    const part = this.#parts.get(name);
    if (part === undefined || part.why !== undefined) return part?.why;
    const lost = claimsOf(part).find((claim) => this.#claims.get(claim)?.[0] !== name);
    if (lost === undefined) return undefined;
    return typeof lost === 'string'
      ? `another node has the ${part.tunnel === undefined ? 'hardware address' : 'public key'} ${lost} too`
      : `another node has the subnet ${formatCidr(part.route.dst)} too`;
  }

  /** How the node of a lease is reached: through our device, over the underlay's link, or not at all. */
  via(name: string): 'device' | 'link' | 'none' {
    const part = this.#parts.get(name);
    if (part === undefined || part.why !== undefined || !this.#holdsAll(part, name)) return 'none';
    return part.route.onlink ? 'device' : 'link';
  }

  #claim(claim: Claim, name: string): void {
    const names = this.#claims.get(claim);
    if (names === undefined) {
      this.#claims.set(claim, [name]);
      return;
    }
    const holder = names[0]!;
    if (name < holder) this.#remove(this.#parts.get(holder)!, holder);
    names.push(name);
    names.sort();
  }

  #disclaim(claim: Claim, name: string): void {
    const names = this.#claims.get(claim)!;
    names.splice(names.indexOf(name), 1);
    const next = names[0];
    if (next === undefined) this.#claims.delete(claim);
    else this.#place(this.#parts.get(next)!, next);
  }

  #holdsAll(part: Part, name: string): boolean {
    return claimsOf(part).every((claim) => this.#claims.get(claim)?.[0] === name);
  }

  /** Writes a part into the tables, if it holds all that it claims. */
  #place(part: Part, name: string): void {
    if (part.why !== undefined || !this.#holdsAll(part, name)) return;
    const { route, vxlan, tunnel } = part;
    this.#routes.set(cidrKey(route.dst), route);
    if (tunnel !== undefined) this.#tunnelPeers.set(tunnel.publicKey, tunnel);
    if (vxlan === undefined) return;
    this.#neighbours.set(ipKey(vxlan.vtep), vxlan);
    this.#fdb.set(vxlan.mac, vxlan);
  }

  #remove(part: Part, name: string): void {
    if (part.why !== undefined || !this.#holdsAll(part, name)) return;
    const { route, vxlan, tunnel } = part;
    this.#routes.delete(cidrKey(route.dst));
    if (tunnel !== undefined) this.#tunnelPeers.delete(tunnel.publicKey);
    if (vxlan === undefined) return;
    this.#neighbours.delete(ipKey(vxlan.vtep));
    this.#fdb.delete(vxlan.mac);
  }
}

function claimsOf(part: Part): Claim[] {
  if (part.why !== undefined) return [];
  const { route, vxlan, tunnel } = part;
  const own = vxlan?.mac ?? tunnel?.publicKey;
  return own === undefined ? [ipKey(route.dst.ip)] : [ipKey(route.dst.ip), own];
}

/** Undefined for a lease that has nothing in this family. */
function judge(
  lease: Lease,
  { family, backend, underlay, ownSubnet, device }: FamilyFacts,
): Part | undefined {
  const { subnet, publicIp, mac } = nodeOf(lease, family);
  if (subnet === undefined) return undefined;
  if (!isOfBackend(lease, backend)) return { why: `its backend is "${lease.attributes.backendType}"` };
  if (overlaps(subnet, ownSubnet)) return { why: `${formatCidr(subnet)} overlaps our own subnet` };
  if (backend.type === 'wireguard') return judgeTunnel(lease, subnet, { family, backend, underlay });
  if (publicIp === undefined) return { why: `it has no public IPv${family} address` };
  const own = family === 4 ? underlay.ip : underlay.ipv6;
  if (publicIp.value === own?.value) return { why: `its address ${formatIp(publicIp)} is our own` };
  if (isOnLink(underlay, publicIp) && (backend.type === 'host-gw' || backend.directRouting)) {
    return { route: { dst: subnet, gateway: publicIp, link: underlay.name, onlink: false } };
  }
  if (device === undefined) return { why: `its address is not on the link "${underlay.name}"` };
  if (mac === undefined) return { why: `it has no VXLAN hardware address for IPv${family}` };
  // The kernel refuses it, and what comes with it.
  if (isGroupMac(mac)) return { why: `its hardware address ${mac} is not that of one device` };
  if (mac === device.mac) return { why: `it has our own hardware address ${mac}` };
  return {
    route: { dst: subnet, gateway: subnet.ip, link: device.name, onlink: true },
    vxlan: { vtep: subnet.ip, mac, dst: publicIp },
  };
}

function judgeTunnel(
  { attributes }: Lease,
  subnet: Cidr,
  { family, backend, underlay }: { family: IpFamily; backend: WireguardConfig; underlay: Underlay },
): Part {
  const publicKey = family === 4 ? attributes.publicKey : attributes.ipv6PublicKey;
  if (publicKey === undefined) return { why: `it has no WireGuard key for IPv${family}` };
  const endpoint = endpointOf(attributes, backend, { family, underlay });
  if (endpoint === undefined) return { why: `it has no public address for a tunnel of IPv${family}` };
  return {
    route: { dst: subnet, link: tunnelName(backend, family), onlink: true },
    tunnel: { publicKey, endpoint, allowedIp: subnet },
  };
}

interface NodeInFamily {
  subnet: Cidr | undefined;
  publicIp: IpAddress | undefined;
  mac: string | undefined;
}

/** A node in one family. */
export function nodeOf({ subnet, ipv6Subnet, attributes }: Lease, family: IpFamily): NodeInFamily {
  return family === 4
    ? { subnet, publicIp: attributes.publicIp, mac: attributes.vtepMac }
    : { subnet: ipv6Subnet, publicIp: attributes.publicIpv6, mac: attributes.ipv6VtepMac };
}

function isGroupMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0 || mac === '00:00:00:00:00:00';
}

function isOnLink({ onLink }: Underlay, ip: IpAddress): boolean {
  return onLink.some((network) => contains(network, ip));
}
