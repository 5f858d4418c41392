export { AttributeReader, MessageWriter } from './attributes.ts';
export {
  NetlinkConn,
  type NetlinkMessage,
  type NetlinkRequest,
  type NetlinkTrace,
  type NetlinkTransport,
} from './conn.ts';
export { type ConntrackFilter, type ConntrackFlow, conntrackFlush, conntrackList } from './conntrack.ts';
export { NetlinkError } from './errors.ts';
export { Genl, openGenl, openGenlIn } from './genl/genl.ts';
export { isWireguardKey, wireguardGet, wireguardSet } from './genl/wireguard.ts';
export type {
  WireguardChange,
  WireguardDevice,
  WireguardEndpoint,
  WireguardPeer,
  WireguardPeerSpec,
} from './genl/wireguard-types.ts';
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
export { formatMac, isMac, parseMac, randomMac } from './mac.ts';
export type {
  NftExpression,
  NftExpressionOf,
  NftRegister,
  NftVerdict,
} from './nft/expression-types.ts';
export { nftFindChain } from './nft/find-chain.ts';
export { nftFindElement } from './nft/find-element.ts';
export { nftFindRule } from './nft/find-rule.ts';
export { isStaleGeneration, nftGeneration } from './nft/generation.ts';
export { nftListChains, nftListElements, nftListRules, nftListSets, nftListTables } from './nft/list.ts';
export { Nft, nftTransaction, openNft, openNftIn } from './nft/nft.ts';
export type {
  NftBaseChain,
  NftChain,
  NftElement,
  NftElements,
  NftFamily,
  NftHook,
  NftMap,
  NftOp,
  NftRule,
  NftRuleRef,
  NftRuleSpec,
  NftSet,
  NftTable,
  NftTableRef,
} from './nft/objects.ts';
export * as nft from './nft/rules.ts';
export type { NftSelector } from './nft/selectors.ts';
export type { NftValue, NftValueType } from './nft/value-types.ts';
export * as xt from './nft/xt.ts';
export {
  type Address,
  type AddressOptions,
  addrAdd,
  addrAddRequest,
  addrDel,
  addrList,
  addrReplace,
  addrReplaceRequest,
} from './rtnl/address.ts';
export {
  type BridgeVlan,
  bridgeVlanAdd,
  bridgeVlanAddRequest,
  bridgeVlanDel,
  bridgeVlanDelRequest,
  bridgeVlanList,
} from './rtnl/bridge-vlan.ts';
export { RT_SCOPE, RT_TABLE, RTPROT } from './rtnl/constants.ts';
export {
  type FdbEntry,
  type FdbSpec,
  fdbAdd,
  fdbAppend,
  fdbDel,
  fdbEach,
  fdbList,
  fdbReplace,
  fdbReplaceRequest,
} from './rtnl/fdb.ts';
export {
  type FilterProtocol,
  filterDel,
  type U32Filter,
  type U32FilterSpec,
  type U32Key,
  u32FilterAdd,
  u32FilterList,
} from './rtnl/filter.ts';
export {
  linkAdd,
  linkAddAltName,
  linkAddIn,
  linkDel,
  linkDelAltName,
  linkFind,
  linkGet,
  linkList,
  linkSet,
  linkSetBridgePort,
  linkSetRequest,
} from './rtnl/link.ts';
export { type LinkCounters, linkCounters } from './rtnl/link-counters.ts';
export type {
  BridgePort,
  BridgeSettings,
  Ipv4Settings,
  IpvlanIsolation,
  IpvlanMode,
  Link,
  LinkChange,
  LinkCommon,
  LinkFlags,
  LinkSpec,
  MacvlanMode,
  OperState,
  VethPeer,
  VlanProtocol,
} from './rtnl/link-types.ts';
export { type MonitorEvent, type MonitorSubject, monitor } from './rtnl/monitor.ts';
export {
  type Neighbour,
  type NeighbourSpec,
  type NeighbourState,
  neighAdd,
  neighDel,
  neighEach,
  neighList,
  neighReplace,
  neighReplaceRequest,
} from './rtnl/neighbour.ts';
export { type Psched, readPsched, transmitTicks } from './rtnl/psched.ts';
export {
  htbClassAdd,
  htbClassList,
  type QdiscPlace,
  qdiscAdd,
  qdiscDel,
  qdiscFind,
  qdiscList,
  qdiscReplace,
} from './rtnl/qdisc.ts';
export type {
  HtbClass,
  HtbClassSpec,
  HtbOptions,
  IngressOptions,
  Qdisc,
  QdiscOptions,
  QdiscSpec,
  TbfOptions,
} from './rtnl/qdisc-types.ts';
export {
  routeAdd,
  routeAddRequest,
  routeAppend,
  routeAppendRequest,
  routeDel,
  routeEach,
  routeList,
  routeReplace,
  routeReplaceRequest,
} from './rtnl/route.ts';
export { routeGet } from './rtnl/route-get.ts';
export type { NextHop, Route, RouteSpec, RouteType } from './rtnl/route-types.ts';
export { openRtnl, openRtnlIn, Rtnl } from './rtnl/rtnl.ts';
export { type Rule, type RuleAction, type RuleSpec, ruleAdd, ruleDel, ruleList } from './rtnl/rule.ts';
export { tcHandle } from './rtnl/tc-message.ts';
export { vfList, vfSet, vfSetRequest } from './rtnl/vf.ts';
export type { VfInfo, VfLinkState, VfSettings } from './rtnl/vf-types.ts';
