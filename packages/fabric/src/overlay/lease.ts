import {
  type Cidr,
  cidrOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  isMac,
  isWireguardKey,
  tryParseCidr,
  tryParseIp,
} from '@amphipod/netlink';
import type { BackendConfig } from './network-config.ts';

/** A node's part of the pod networks, and how to reach the node. */
export interface Lease {
  readonly subnet?: Cidr;
  readonly ipv6Subnet?: Cidr;
  readonly attributes: LeaseAttributes;
}

/** What a node tells of itself in its lease. */
export interface LeaseAttributes {
  readonly publicIp?: IpAddress;
  readonly publicIpv6?: IpAddress;
  /** Of the node's backend, which can be one that we do not know. */
  readonly backendType: string;
  /** Hardware addresses of its VXLAN devices for each family. */
  readonly vtepMac?: string;
  readonly ipv6VtepMac?: string;
  readonly vni?: number;
  /** Of its WireGuard devices for each family. */
  readonly publicKey?: string;
  readonly ipv6PublicKey?: string;
  /** Their UDP ports; absent from nodes with a flannel before 0.26.6, which have that of the configuration. */
  readonly port?: number;
  readonly ipv6Port?: number;
}

const KEY = /(?:^|\/)([\d.]+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$/;
/** What flannel writes for the family that a node does not have. */
const NO_IPV4 = '0.0.0.0';

/** The last part of flannel's key for a lease: `10.5.52.0-24`, with two families `10.5.52.0-24&fc00:0:0:34::-64`. */
export function leaseName({ subnet, ipv6Subnet }: Pick<Lease, 'subnet' | 'ipv6Subnet'>): string {
  const ipv4 = subnet === undefined ? `${NO_IPV4}-0` : keyPart(subnet);
  return ipv6Subnet === undefined ? ipv4 : `${ipv4}&${keyPart(ipv6Subnet)}`;
}

function keyPart({ ip, prefix }: Cidr): string {
  return `${formatIp(ip)}-${prefix}`;
}

/** Reads a lease; undefined for what is none. @param value flannel's JSON, or undefined for the subnets only */
export function parseLease(key: string, value: string): Lease | undefined {
  const [, ip, prefix, ip6, prefix6] = KEY.exec(key) ?? [];
  const subnet = tryParseCidr(`${ip}/${prefix}`);
  const ipv6Subnet = ip6 === undefined ? undefined : tryParseCidr(`${ip6}/${prefix6}`);
  const attributes = parseAttributes(value);
  if (subnet === undefined || attributes === undefined) return undefined;
  if (ip6 !== undefined && ipv6Subnet === undefined) return undefined;
  return {
    ...(subnet.prefix > 0 && { subnet }),
    ...(ipv6Subnet !== undefined && { ipv6Subnet }),
    attributes,
  };
}

/** The value of a lease's key, byte for byte as flannel writes it. */
export function formatAttributes(attributes: LeaseAttributes): string {
  const { publicIp, publicIpv6, backendType, vtepMac, ipv6VtepMac, vni } = attributes;
  // flannel keeps 16 of the number's 24 bits.
  const vxlan = (mac: string | undefined) => mac && { VNI: (vni ?? 0) & 0xffff, VtepMAC: mac };
  const wireguard = (key: string | undefined, port: number | undefined) =>
    key && { PublicKey: key, Port: port };
  return JSON.stringify({
    PublicIP: publicIp === undefined ? NO_IPV4 : formatIp(publicIp),
    PublicIPv6: publicIpv6 === undefined ? null : formatIp(publicIpv6),
    BackendType: backendType,
    BackendData: vxlan(vtepMac) ?? wireguard(attributes.publicKey, attributes.port),
    BackendV6Data: vxlan(ipv6VtepMac) ?? wireguard(attributes.ipv6PublicKey, attributes.ipv6Port),
  });
}

/** Of vxlan and of wireguard. */
interface BackendJson {
  VNI?: unknown;
  VtepMAC?: unknown;
  PublicKey?: unknown;
  Port?: unknown;
}

interface LeaseJson {
  PublicIP?: unknown;
  PublicIPv6?: unknown;
  BackendType?: unknown;
  BackendData?: BackendJson | null;
  BackendV6Data?: BackendJson | null;
}

function parseAttributes(text: string): LeaseAttributes | undefined {
  let json: LeaseJson | null;
  try {
    json = JSON.parse(text) as LeaseJson | null;
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const publicIp = readIp(json.PublicIP, 4);
  const publicIpv6 = readIp(json.PublicIPv6, 6);
  const vtepMac = readMac(json.BackendData?.VtepMAC);
  const ipv6VtepMac = readMac(json.BackendV6Data?.VtepMAC);
  const vni = json.BackendData?.VNI;
  const publicKey = readKey(json.BackendData?.PublicKey);
  const ipv6PublicKey = readKey(json.BackendV6Data?.PublicKey);
  const [port, ipv6Port] = [readPort(json.BackendData?.Port), readPort(json.BackendV6Data?.Port)];
  return {
    backendType: typeof json.BackendType === 'string' ? json.BackendType : '',
    ...(publicIp !== undefined && { publicIp }),
    ...(publicIpv6 !== undefined && { publicIpv6 }),
    ...(vtepMac !== undefined && { vtepMac }),
    ...(ipv6VtepMac !== undefined && { ipv6VtepMac }),
    ...(typeof vni === 'number' && { vni }),
    ...(publicKey !== undefined && { publicKey }),
    ...(ipv6PublicKey !== undefined && { ipv6PublicKey }),
    ...(port !== undefined && { port }),
    ...(ipv6Port !== undefined && { ipv6Port }),
  };
}

function readIp(value: unknown, family: IpFamily): IpAddress | undefined {
  const ip = typeof value === 'string' ? tryParseIp(value) : undefined;
  return ip?.family === family && ip.value !== 0n ? ip : undefined;
}

function readMac(value: unknown): string | undefined {
  return typeof value === 'string' && isMac(value) ? value.toLowerCase() : undefined;
}

function readKey(value: unknown): string | undefined {
  return typeof value === 'string' && isWireguardKey(value) ? value : undefined;
}

function readPort(value: unknown): number | undefined {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536
    ? (value as number)
    : undefined;
}

/** True when two leases are of one node, told by the address that it is reached at. */
export function isSameNode(a: LeaseAttributes, b: LeaseAttributes): boolean {
  if (a.publicIp !== undefined || b.publicIp !== undefined) return isSameIp(a.publicIp, b.publicIp);
  return isSameIp(a.publicIpv6, b.publicIpv6);
}

function isSameIp(a: IpAddress | undefined, b: IpAddress | undefined): boolean {
  return a !== undefined && b !== undefined && a.family === b.family && a.value === b.value;
}

/** The address that a node of an overlay has on the backend's device: the first of its subnet, alone. */
export function vtepAddress(subnet: Cidr): Cidr {
  return cidrOf(subnet.ip);
}

/** True when the lease is of a backend that can exchange packets with ours. */
export function isOfBackend({ attributes }: Lease, backend: BackendConfig): boolean {
  return attributes.backendType === backend.type;
}
