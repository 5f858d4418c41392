// Signatures first, so that others can write against them; the implementation replaces them file by file.
import type { CodedError } from '@amphipod/linux';

// ── errors and connections ───────────────────────────────────────────────────────────────────────────────
export declare class NetlinkError extends CodedError {
  readonly op: string;
  readonly errno: number;
  readonly extack: string | undefined;
}
export declare class Rtnl implements Disposable {
  close(): void;
  [Symbol.dispose](): void;
}
export declare function openRtnl(): Rtnl;
export declare function openRtnlIn(netns: string | number): Rtnl;

// ── ip ───────────────────────────────────────────────────────────────────────────────────────────────────
export type IpFamily = 4 | 6;
export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}
/** An address with a prefix length; host bits may be set ("10.1.2.3/24"). */
export interface Cidr {
  readonly ip: IpAddress;
  readonly prefix: number;
}
export declare function parseIp(text: string): IpAddress;
export declare function tryParseIp(text: string): IpAddress | undefined;
export declare function formatIp(ip: IpAddress): string;
export declare function ipFromBytes(bytes: Uint8Array): IpAddress;
export declare function ipToBytes(ip: IpAddress): Buffer;
export declare function compareIp(a: IpAddress, b: IpAddress): number;
export declare function nextIp(ip: IpAddress): IpAddress | undefined;
export declare function previousIp(ip: IpAddress): IpAddress | undefined;
export declare function parseCidr(text: string): Cidr;
export declare function tryParseCidr(text: string): Cidr | undefined;
export declare function formatCidr(cidr: Cidr): string;
export declare function cidrOf(ip: IpAddress, prefix?: number): Cidr;
export declare function networkOf(cidr: Cidr): Cidr;
export declare function broadcastOf(cidr: Cidr): IpAddress;
export declare function contains(cidr: Cidr, inner: IpAddress | Cidr): boolean;
export declare function cidrSize(cidr: Cidr): bigint;
export declare function rangeSize(first: IpAddress, last: IpAddress): bigint;

// ── links ────────────────────────────────────────────────────────────────────────────────────────────────
export interface LinkFlags {
  up: boolean;
  running: boolean;
  loopback: boolean;
  broadcast: boolean;
  multicast: boolean;
  promisc: boolean;
  noarp: boolean;
  lowerUp: boolean;
}
export type OperState = 'unknown' | 'notpresent' | 'down' | 'lowerlayerdown' | 'testing' | 'dormant' | 'up';
export interface Link {
  ifIndex: number;
  name: string;
  mac: string;
  mtu: number;
  flags: LinkFlags;
  operState: OperState;
  kind?: string;
  masterIndex?: number;
  /** IFLA_LINK: a veth's peer, a vlan's or macvlan's parent; in the namespace `peerNetnsId` when that is set. */
  peerIndex?: number;
  peerNetnsId?: number;
  alias?: string;
}
export interface LinkCommon {
  name: string;
  mtu?: number;
  mac?: string;
  masterIndex?: number;
  up?: boolean;
  netnsFd?: number;
  txQueueLength?: number;
}
export interface VethPeer {
  name: string;
  netnsFd?: number;
  mac?: string;
  mtu?: number;
  up?: boolean;
}
export type LinkSpec =
  | (LinkCommon & { kind: 'bridge'; vlanFiltering?: boolean; stp?: boolean; forwardDelay?: number })
  | (LinkCommon & { kind: 'veth'; peer: VethPeer })
  | (LinkCommon & { kind: 'dummy' | 'ifb' })
  | (LinkCommon & { kind: 'vlan'; parentIndex: number; vlanId: number })
  | (LinkCommon & {
      kind: 'macvlan';
      parentIndex: number;
      mode: 'private' | 'vepa' | 'bridge' | 'passthru' | 'source';
    })
  | (LinkCommon & { kind: 'ipvlan'; parentIndex: number; mode: 'l2' | 'l3' | 'l3s' })
  | (LinkCommon & { kind: 'vxlan'; vni: number; parentIndex?: number; port?: number; local?: IpAddress });
export interface LinkChange {
  up?: boolean;
  name?: string;
  mtu?: number;
  mac?: string;
  /** 0 takes the link out of its bridge. */
  masterIndex?: number;
  netnsFd?: number;
  alias?: string;
  promisc?: boolean;
  txQueueLength?: number;
  /** In the same message; the link must be a bridge port already. */
  bridgePort?: BridgePort;
}
export interface BridgePort {
  hairpin?: boolean;
  isolated?: boolean;
  learning?: boolean;
  flood?: boolean;
  guard?: boolean;
  neighSuppress?: boolean;
}
export declare function linkFind(conn: Rtnl, nameOrIndex: string | number): Link | undefined;
export declare function linkGet(conn: Rtnl, nameOrIndex: string | number): Link;
export declare function linkList(conn: Rtnl, filter?: { kind?: string; masterIndex?: number }): Link[];
/** Returns the created link (for a veth: the first end), with its ifIndex and mac. */
export declare function linkAdd(conn: Rtnl, spec: LinkSpec): Link;
export declare function linkSet(conn: Rtnl, ifIndex: number, change: LinkChange): void;
export declare function linkSetBridgePort(conn: Rtnl, ifIndex: number, port: BridgePort): void;
/** False when there was no such link. */
export declare function linkDel(conn: Rtnl, nameOrIndex: string | number): Promise<boolean>;

// ── addresses, routes, neighbours ────────────────────────────────────────────────────────────────────────
export interface Address {
  ifIndex: number;
  cidr: Cidr;
  scope: number;
  label?: string;
  broadcast?: IpAddress;
  peer?: Cidr;
  flags: { permanent: boolean; tentative: boolean; dadFailed: boolean; noDad: boolean; secondary: boolean };
}
export interface AddressOptions {
  broadcast?: IpAddress;
  scope?: number;
  /** IFA_F_NODAD: usable at once, no duplicate address detection (IPv6). */
  noDad?: boolean;
  label?: string;
}
export declare function addrAdd(conn: Rtnl, ifIndex: number, cidr: Cidr, options?: AddressOptions): void;
export declare function addrReplace(conn: Rtnl, ifIndex: number, cidr: Cidr, options?: AddressOptions): void;
/** False when the address was not there. */
export declare function addrDel(conn: Rtnl, ifIndex: number, cidr: Cidr): boolean;
export declare function addrList(conn: Rtnl, filter?: { ifIndex?: number; family?: IpFamily }): Address[];

export interface NextHop {
  ifIndex?: number;
  gateway?: IpAddress;
  weight?: number;
  onlink?: boolean;
}
export interface RouteSpec extends NextHop {
  /** Absent: the default route of `family` (or of the gateway's family). */
  dst?: Cidr;
  family?: IpFamily;
  /** Preferred source address. */
  src?: IpAddress;
  priority?: number;
  table?: number;
  scope?: 'global' | 'link' | 'host' | number;
  type?: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit' | 'local' | 'throw';
  protocol?: number;
  mtu?: number;
  advmss?: number;
  nextHops?: NextHop[];
}
export interface Route extends RouteSpec {
  family: IpFamily;
  table: number;
  protocol: number;
}
export declare function routeAdd(conn: Rtnl, route: RouteSpec): void;
export declare function routeReplace(conn: Rtnl, route: RouteSpec): void;
export declare function routeAppend(conn: Rtnl, route: RouteSpec): void;
export declare function routeDel(conn: Rtnl, route: RouteSpec): boolean;
export declare function routeList(
  conn: Rtnl,
  filter?: { family?: IpFamily; ifIndex?: number; table?: number },
): Route[];

export interface Neighbour {
  ifIndex: number;
  ip: IpAddress;
  mac?: string;
  state: number;
  proxy?: boolean;
}
export interface NeighbourSpec {
  ifIndex: number;
  ip: IpAddress;
  mac?: string;
  state?: 'permanent' | 'noarp' | 'reachable' | 'stale';
  proxy?: boolean;
}
export declare function neighAdd(conn: Rtnl, spec: NeighbourSpec): void;
export declare function neighReplace(conn: Rtnl, spec: NeighbourSpec): void;
export declare function neighDel(
  conn: Rtnl,
  spec: { ifIndex: number; ip: IpAddress; proxy?: boolean },
): boolean;
export declare function neighList(conn: Rtnl, filter?: { ifIndex?: number; family?: IpFamily }): Neighbour[];

// ── nftables ─────────────────────────────────────────────────────────────────────────────────────────────
export declare class Nft implements Disposable {
  close(): void;
  [Symbol.dispose](): void;
}
export declare function openNft(): Nft;
export declare function openNftIn(netns: string | number): Nft;
export type NftFamily = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';
export interface NftTableRef {
  family: NftFamily;
  table: string;
}
export interface NftBaseChain {
  type: 'filter' | 'nat' | 'route';
  hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress' | 'egress';
  priority: number;
  policy?: 'accept' | 'drop';
  device?: string;
}
export declare function nftTransaction(conn: Nft, ops: readonly NftOp[]): void;
/** Plain data: `{ op: 'add', object: 'chain', family: 'ip', table: 't', chain: 'c', base: {…} }`; details follow with nft/. */
export type NftOp = {
  op: 'add' | 'create' | 'insert' | 'replace' | 'delete' | 'destroy' | 'flush';
} & NftTableRef & {
    object: string;
  };

// ── conntrack ────────────────────────────────────────────────────────────────────────────────────────────
export interface ConntrackFilter {
  family: IpFamily;
  protocol?: number;
  /** Of the original direction. */
  dst?: IpAddress;
  dstPort?: number;
  src?: IpAddress;
}
/** Deletes matching flows, gives their number. */
export declare function conntrackFlush(conn: Nft, filter: ConntrackFilter): number;
