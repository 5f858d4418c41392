import type { Cidr, IpAddress, IpFamily } from '@amphipod/netlink';
import { type Lease, vtepAddress } from './lease.ts';
import type { NetworkConfig, VxlanConfig } from './network-config.ts';
import { nodeOf, WantedFamily } from './wanted-family.ts';
import { tunnelName, tunnelOverhead, tunnelPort, WantedTunnel } from './wanted-tunnel.ts';
import type { WireguardKey } from './wireguard-key.ts';

/** Outer headers of VXLAN: Ethernet 14, IP 20 or 40, UDP 8, VXLAN 8. */
const OVERHEAD_IPV4 = 50;
const OVERHEAD_IPV6 = 70;

/** The link that carries the nodes' traffic, and this node's addresses on it. */
export interface Underlay {
  readonly name: string;
  readonly ifIndex: number;
  readonly mtu: number;
  readonly ip?: IpAddress;
  readonly ipv6?: IpAddress;
  /** Networks that are reached on the link without a gateway. */
  readonly onLink: readonly Cidr[];
}

/** Another node behind a VXLAN device. */
export interface VxlanPeer {
  /** The node's own address on its device, which routes name as their gateway. */
  readonly vtep: IpAddress;
  readonly mac: string;
  /** Where the packets go. */
  readonly dst: IpAddress;
}

/** A VXLAN device of ours, one for each family. */
export interface WantedDevice {
  readonly name: string;
  readonly vni: number;
  /** 0: the kernel's own. */
  readonly port: number;
  readonly gbp: boolean;
  readonly parentIndex: number;
  readonly local: IpAddress;
  readonly mtu: number;
  readonly mac: string;
  readonly address: Cidr;
}

export interface WantedRoute {
  readonly dst: Cidr;
  /** Absent for WireGuard, where the device knows by the address which node it is for. */
  readonly gateway?: IpAddress;
  /** Name of the link. */
  readonly link: string;
  /** Through our own device, where the gateway counts as on the link although no address says so. */
  readonly onlink: boolean;
}

/** The pod network of one family, for the rules. */
export interface WantedNetwork {
  /** Of all nodes. */
  readonly network: Cidr;
  /** Of this node. */
  readonly subnet: Cidr;
}

/** A lease that nothing can be done for, and why. */
export interface PassedOver {
  readonly lease: Lease;
  readonly why: string;
}

export interface OverlayFacts {
  config: NetworkConfig;
  underlay: Underlay;
  /** This node's lease; for vxlan with the hardware addresses of its devices. */
  own: Lease;
  /** What its store calls this node's lease. */
  ownId: string;
  masquerade: boolean;
  /** Must be there for wireguard. */
  wireguardKey?: WireguardKey;
}

/** Name of the VXLAN device, as flannel has it. */
export function vxlanName(vni: number, family: IpFamily): string {
  return family === 4 ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/** The MTU that pods can use. */
export function overlayMtu({ config, underlay }: Pick<OverlayFacts, 'config' | 'underlay'>): number {
  const { backend } = config;
  if (backend.type === 'host-gw') return underlay.mtu;
  if (backend.type === 'wireguard') return (backend.mtu || underlay.mtu) - tunnelOverhead;
  return deviceMtu(backend, underlay, config.ipv6 === undefined ? 4 : 6);
}

/** `Backend.MTU` is that of the link below, as in flannel. */
function deviceMtu({ mtu }: VxlanConfig, underlay: Underlay, family: IpFamily): number {
  return (mtu || underlay.mtu) - (family === 4 ? OVERHEAD_IPV4 : OVERHEAD_IPV6);
}

/**
 * What the kernel is to have for the overlay: follows from this node's own facts and from the leases of all nodes, and nothing else. A
 * lease changes what it is about, at a cost that does not depend on how many there are.
 */
export class WantedState {
  /** Those in which this node has a subnet and an address. */
  readonly families: readonly WantedFamily[];
  /** For wireguard. */
  readonly tunnels: readonly WantedTunnel[];
  readonly networks: readonly WantedNetwork[];
  readonly masquerade: boolean;
  readonly #ownId: string;
  readonly #leases = new Map<string, Lease>();

  constructor(facts: OverlayFacts) {
    const { config, own, ownId, masquerade } = facts;
    this.masquerade = masquerade;
    this.#ownId = ownId;
    this.families = ([4, 6] as const).flatMap((family) => createFamily(facts, family) ?? []);
    this.tunnels = createTunnels(facts, this.families);
    this.networks = [
      ...(config.ipv4 && own.subnet ? [{ network: config.ipv4.network, subnet: own.subnet }] : []),
      ...(config.ipv6 && own.ipv6Subnet ? [{ network: config.ipv6.network, subnet: own.ipv6Subnet }] : []),
    ];
  }

  /** The lease with this id as it was given last. */
  get(id: string): Lease | undefined {
    return this.#leases.get(id);
  }

  /** Takes a lease, of any node; undefined says that there is none with this id. @param id what its store calls it */
  set(id: string, lease: Lease | undefined): void {
    if (lease === undefined) this.#leases.delete(id);
    else this.#leases.set(id, lease);
    if (id !== this.#ownId) for (const family of this.families) family.set(id, lease);
  }

  /** Of all other nodes, ordered by id. */
  others(): [id: string, Lease][] {
    return this.#sorted().filter(([id]) => id !== this.#ownId);
  }

  ids(): Iterable<string> {
    return this.#leases.keys();
  }

  /** Leases changed what is wanted since the changes were last taken. */
  get hasChanges(): boolean {
    return this.families.some((family) => family.hasChanges);
  }

  /** Why nothing can be done for a lease, in one family or both. */
  whyNot(id: string): string[] {
    const reasons = new Set(this.families.map((family) => family.whyNot(id)));
    return [...reasons].filter((why) => why !== undefined);
  }

  /** Leases that nothing can be done for in one of the families, ordered by id. */
  passedOver(): PassedOver[] {
    return this.#sorted().flatMap(([id, lease]) => this.whyNot(id).map((why) => ({ lease, why })));
  }

  #sorted(): [id: string, Lease][] {
    return [...this.#leases].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

function createFamily(facts: OverlayFacts, family: IpFamily): WantedFamily | undefined {
  const { config, underlay, own } = facts;
  const { backend } = config;
  const local = family === 4 ? underlay.ip : underlay.ipv6;
  const { subnet: ownSubnet, mac } = nodeOf(own, family);
  if (ownSubnet === undefined) return undefined;
  // A tunnel for both families needs an address of one.
  if (backend.type === 'wireguard') return new WantedFamily({ family, backend, underlay, ownSubnet });
  if (local === undefined) return undefined;
  const common = { family, backend, underlay, ownSubnet };
  if (backend.type !== 'vxlan' || mac === undefined) return new WantedFamily(common);
  const { vni, port, gbp } = backend;
  const mtu = deviceMtu(backend, underlay, family);
  const device = {
    name: vxlanName(vni, family),
    vni,
    port,
    gbp,
    parentIndex: underlay.ifIndex,
    local,
    mtu,
    mac,
  };
  return new WantedFamily({ ...common, device: { ...device, address: vtepAddress(ownSubnet) } });
}

/** One for each name: with two families, two or one. */
function createTunnels(facts: OverlayFacts, families: readonly WantedFamily[]): WantedTunnel[] {
  const { backend } = facts.config;
  if (backend.type !== 'wireguard') return [];
  const { psk, keepaliveSeconds } = backend;
  const byName = Map.groupBy(families, ({ family }) => tunnelName(backend, family));
  return [...byName].map(([name, through]) => {
    const device = {
      ...facts.wireguardKey!,
      name,
      listenPort: tunnelPort(backend, through[0]!.family),
      mtu: overlayMtu(facts),
      addresses: through.map(({ family }) => vtepAddress(nodeOf(facts.own, family).subnet!)),
      ...(psk !== undefined && { presharedKey: psk }),
      keepaliveSeconds,
    };
    return new WantedTunnel(device, through);
  });
}
