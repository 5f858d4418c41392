import type { IpAddress, IpFamily } from './ip.ts';

// ── transport ────────────────────────────────────────────────────────────────────────────────────────────
export { AttributeReader, MessageWriter } from './attributes.ts';
export {
  NetlinkConn,
  type NetlinkMessage,
  type NetlinkRequest,
  type NetlinkTrace,
  type NetlinkTransport,
} from './conn.ts';
export { NetlinkError } from './errors.ts';
export {
  broadcastOf,
  type Cidr,
  cidrOf,
  cidrSize,
  compareIp,
  contains,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpFamily,
  ipBits,
  ipFromBytes,
  ipPlus,
  ipToBytes,
  netmaskOf,
  networkOf,
  nextIp,
  overlaps,
  parseCidr,
  parseIp,
  previousIp,
  rangeSize,
  tryParseCidr,
  tryParseIp,
} from './ip.ts';
export { formatMac, parseMac } from './mac.ts';
export {
  type Address,
  type AddressOptions,
  addrAdd,
  addrDel,
  addrList,
  addrReplace,
} from './rtnl/address.ts';
export {
  linkAdd,
  linkAddIn,
  linkDel,
  linkFind,
  linkGet,
  linkList,
  linkSet,
  linkSetBridgePort,
} from './rtnl/link.ts';
export type {
  BridgePort,
  IpvlanMode,
  Link,
  LinkChange,
  LinkCommon,
  LinkFlags,
  LinkSpec,
  MacvlanMode,
  OperState,
  VethPeer,
} from './rtnl/link-types.ts';
export {
  type Neighbour,
  type NeighbourSpec,
  type NeighbourState,
  neighAdd,
  neighDel,
  neighList,
  neighReplace,
} from './rtnl/neighbour.ts';
export { routeAdd, routeAppend, routeDel, routeList, routeReplace } from './rtnl/route.ts';
export type { NextHop, Route, RouteSpec, RouteType } from './rtnl/route-types.ts';
export { openRtnl, openRtnlIn, Rtnl } from './rtnl/rtnl.ts';

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
