import { type Cidr, contains, formatCidr, type IpAddress, overlaps } from '@amphipod/netlink';
import { isOfBackend, type Lease, leaseName, vtepAddress } from './lease.ts';
import type { NetworkConfig, VxlanConfig } from './network-config.ts';

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
  readonly peers: readonly VxlanPeer[];
}

export interface WantedRoute {
  readonly dst: Cidr;
  readonly gateway: IpAddress;
  /** Name of the link. */
  readonly link: string;
  /** The gateway is on the link although no address says so. */
  readonly onlink: boolean;
}

/** The pod network of one family, for the rules. */
export interface WantedNetwork {
  /** Of all nodes. */
  readonly network: Cidr;
  /** Of this node. */
  readonly subnet: Cidr;
}

/** What the kernel is to have for the overlay, as a value that follows from the leases alone. */
export interface WantedState {
  readonly devices: readonly WantedDevice[];
  readonly routes: readonly WantedRoute[];
  readonly networks: readonly WantedNetwork[];
  readonly masquerade: boolean;
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
  /** Of all nodes, with or without our own. */
  leases: readonly Lease[];
  masquerade: boolean;
}

/** Name of the VXLAN device, as flannel has it. */
export function vxlanName(vni: number, family: 4 | 6): string {
  return family === 4 ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/** The MTU that pods can use. */
export function overlayMtu({ config, underlay }: Pick<OverlayFacts, 'config' | 'underlay'>): number {
  const { backend } = config;
  if (backend.type === 'host-gw') return underlay.mtu;
  return deviceMtu(backend, underlay, config.ipv6 === undefined ? 4 : 6);
}

/** `Backend.MTU` is that of the link below, as in flannel. */
function deviceMtu({ mtu }: VxlanConfig, underlay: Underlay, family: 4 | 6): number {
  return (mtu || underlay.mtu) - (family === 4 ? OVERHEAD_IPV4 : OVERHEAD_IPV6);
}

/** Works out what the kernel is to have. */
export function wantedState(facts: OverlayFacts): { state: WantedState; passedOver: PassedOver[] } {
  const { config, own, masquerade } = facts;
  const passedOver: PassedOver[] = [];
  const peers = othersOf(facts, passedOver);
  const families = ([4, 6] as const).map((family) => wantedFamily(facts, { family, peers, passedOver }));
  const networks = [
    ...(config.ipv4 && own.subnet ? [{ network: config.ipv4.network, subnet: own.subnet }] : []),
    ...(config.ipv6 && own.ipv6Subnet ? [{ network: config.ipv6.network, subnet: own.ipv6Subnet }] : []),
  ];
  return {
    state: {
      devices: families.flatMap(({ device }) => device ?? []),
      routes: families.flatMap(({ routes }) => routes),
      networks,
      masquerade,
    },
    passedOver,
  };
}

/** The other nodes, in an order that does not depend on that of the leases. */
function othersOf({ config, own, leases }: OverlayFacts, passedOver: PassedOver[]): Lease[] {
  const byName = leases.map((lease) => ({ lease, name: leaseName(lease) }));
  byName.sort((a, b) => (a.name < b.name ? -1 : 1));
  return byName.flatMap(({ lease, name }) => {
    if (name === leaseName(own)) return [];
    if (!isOfBackend(lease, config.backend)) {
      passedOver.push({ lease, why: `its backend is "${lease.attributes.backendType}"` });
      return [];
    }
    return [lease];
  });
}

interface FamilyPart {
  device?: WantedDevice;
  routes: WantedRoute[];
}

interface FamilyContext {
  family: 4 | 6;
  peers: readonly Lease[];
  passedOver: PassedOver[];
}

/** A node in one family. */
interface Node {
  subnet: Cidr | undefined;
  publicIp: IpAddress | undefined;
  mac: string | undefined;
}

function nodeOf({ subnet, ipv6Subnet, attributes }: Lease, family: 4 | 6): Node {
  return family === 4
    ? { subnet, publicIp: attributes.publicIp, mac: attributes.vtepMac }
    : { subnet: ipv6Subnet, publicIp: attributes.publicIpv6, mac: attributes.ipv6VtepMac };
}

function wantedFamily(facts: OverlayFacts, { family, peers, passedOver }: FamilyContext): FamilyPart {
  const { config, underlay, own } = facts;
  const { backend } = config;
  const local = family === 4 ? underlay.ip : underlay.ipv6;
  const { subnet: ownSubnet, mac: ownMac } = nodeOf(own, family);
  if (ownSubnet === undefined || local === undefined) return { routes: [] };
  const name = backend.type === 'vxlan' ? vxlanName(backend.vni, family) : underlay.name;
  const routes: WantedRoute[] = [];
  const vxlanPeers = new Map<string, VxlanPeer>();
  for (const lease of peers) {
    const passOver = (why: string) => passedOver.push({ lease, why });
    const { subnet, publicIp, mac } = nodeOf(lease, family);
    if (subnet === undefined) continue;
    if (overlaps(subnet, ownSubnet)) passOver(`${formatCidr(subnet)} overlaps our own subnet`);
    else if (publicIp === undefined) passOver(`it has no public IPv${family} address`);
    else if (backend.type === 'host-gw' || (backend.directRouting && isOnLink(underlay, publicIp))) {
      if (isOnLink(underlay, publicIp)) {
        routes.push({ dst: subnet, gateway: publicIp, link: underlay.name, onlink: false });
      } else passOver(`its address is not on the link "${underlay.name}"`);
    } else if (mac === undefined) passOver(`it has no VXLAN hardware address for IPv${family}`);
    else if (vxlanPeers.has(mac) || mac === ownMac)
      passOver(`another node has the hardware address ${mac} too`);
    else {
      vxlanPeers.set(mac, { vtep: subnet.ip, mac, dst: publicIp });
      routes.push({ dst: subnet, gateway: subnet.ip, link: name, onlink: true });
    }
  }
  if (backend.type !== 'vxlan' || ownMac === undefined) return { routes };
  const { vni, port, gbp } = backend;
  const mtu = deviceMtu(backend, underlay, family);
  const device = { name, vni, port, gbp, parentIndex: underlay.ifIndex, local, mtu, mac: ownMac };
  return { device: { ...device, address: vtepAddress(ownSubnet), peers: [...vxlanPeers.values()] }, routes };
}

function isOnLink({ onLink }: Underlay, ip: IpAddress): boolean {
  return onLink.some((network) => contains(network, ip));
}
