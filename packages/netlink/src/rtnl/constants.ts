// Numbers of the route family: include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour,fib_rules,if,if_bridge}.h, socket.h.
// biome-ignore format: tables read best as tables
export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10 } as const;
// biome-ignore format: tables read best as tables
export const RTM = {
  NEWLINK: 16, DELLINK: 17, GETLINK: 18, SETLINK: 19,
  NEWADDR: 20, DELADDR: 21, GETADDR: 22,
  NEWROUTE: 24, DELROUTE: 25, GETROUTE: 26,
  NEWNEIGH: 28, DELNEIGH: 29, GETNEIGH: 30,
  NEWRULE: 32, DELRULE: 33, GETRULE: 34,
  NEWLINKPROP: 108, DELLINKPROP: 109, NEWVLAN: 112, GETVLAN: 114,
} as const;
// biome-ignore format: tables read best as tables
export const IFLA = {
  ADDRESS: 1, IFNAME: 3, MTU: 4, LINK: 5, MASTER: 10, PROTINFO: 12, TXQLEN: 13, OPERSTATE: 16, LINKINFO: 18,
  IFALIAS: 20, VFINFO_LIST: 22, STATS64: 23, AF_SPEC: 26, NET_NS_FD: 28, EXT_MASK: 29, PROMISCUITY: 30,
  NUM_TX_QUEUES: 31, NUM_RX_QUEUES: 32, LINK_NETNSID: 37,
  PROP_LIST: 52, ALT_IFNAME: 53,
} as const;
/** RTEXT_FILTER_SKIP_STATS: half a kilobyte less per link. */
export const SKIP_STATS = 8;
/** RTEXT_FILTER_VF: virtual functions with their physical one. */
export const WITH_VFS = 1;
/** In a list of virtual functions: one of them. */
export const IFLA_VF_INFO = 1;
/** In the VLANs of a virtual function: one of them. */
export const IFLA_VF_VLAN_INFO = 1;
export const IFLA_VF = {
  MAC: 1,
  VLAN: 2,
  SPOOFCHK: 4,
  LINK_STATE: 5,
  RATE: 6,
  TRUST: 9,
  VLAN_LIST: 12,
} as const;
export const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
export const VETH_INFO_PEER = 1;
// biome-ignore format: tables read best as tables
export const IFLA_BR = {
  FORWARD_DELAY: 1, AGEING_TIME: 4, STP_STATE: 5, VLAN_FILTERING: 7, MCAST_SNOOPING: 23, VLAN_DEFAULT_PVID: 39,
} as const;
// biome-ignore format: tables read best as tables
export const IFLA_BRPORT = {
  STATE: 1, MODE: 4, GUARD: 5, FAST_LEAVE: 7, LEARNING: 8, UNICAST_FLOOD: 9, PROXYARP: 10, MCAST_FLOOD: 27,
  BCAST_FLOOD: 30, NEIGH_SUPPRESS: 32, ISOLATED: 33,
} as const;
// biome-ignore format: tables read best as tables
export const IFLA_VXLAN = {
  ID: 1, GROUP: 2, LINK: 3, LOCAL: 4, TTL: 5, LEARNING: 7, PORT: 15, GROUP6: 16, LOCAL6: 17, GBP: 23,
} as const;
export const IFLA_INET_CONF = 1;
/** include/uapi/linux/ip.h */
export const IPV4_DEVCONF = { ARP_NOTIFY: 22 } as const;
export const IFLA_MACVLAN = { MODE: 1, BC_QUEUE_LEN: 7 } as const;
export const IFLA_IPVLAN = { MODE: 1, FLAGS: 2 } as const;
/** Read only: tun and tap devices are made by ioctl. */
export const IFLA_TUN = { OWNER: 1, GROUP: 2, TYPE: 3, PERSIST: 6, MULTI_QUEUE: 7 } as const;
export const IFLA_VRF = { TABLE: 1 } as const;
export const IFLA_VLAN = { ID: 1, PROTOCOL: 5 } as const;
// biome-ignore format: tables read best as tables
export const IFF = {
  UP: 0x1, BROADCAST: 0x2, LOOPBACK: 0x8, RUNNING: 0x40, NOARP: 0x80, PROMISC: 0x100, ALLMULTI: 0x200,
  MULTICAST: 0x1000, LOWER_UP: 0x10000,
} as const;
export const IFA = {
  ADDRESS: 1,
  LOCAL: 2,
  LABEL: 3,
  BROADCAST: 4,
  CACHEINFO: 6,
  FLAGS: 8,
  RT_PRIORITY: 9,
} as const;
// biome-ignore format: tables read best as tables
export const IFA_F = {
  SECONDARY: 0x01, NODAD: 0x02, OPTIMISTIC: 0x04, DADFAILED: 0x08, HOMEADDRESS: 0x10, DEPRECATED: 0x20,
  TENTATIVE: 0x40, PERMANENT: 0x80, MANAGETEMPADDR: 0x100, NOPREFIXROUTE: 0x200,
} as const;
// biome-ignore format: tables read best as tables
export const RTA = {
  DST: 1, SRC: 2, IIF: 3, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, METRICS: 8, MULTIPATH: 9, CACHEINFO: 12,
  TABLE: 15, MARK: 16, VIA: 18, EXPIRES: 23,
} as const;
export const RTAX = { LOCK: 1, MTU: 2, ADVMSS: 8 } as const;
export const RTNH_F = { DEAD: 1, ONLINK: 4, LINKDOWN: 16 } as const;
/** Routing tables that every namespace has. */
export const RT_TABLE = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;
/** Who made a route (rtm_protocol). */
export const RTPROT = { KERNEL: 2, BOOT: 3, STATIC: 4 } as const;
/** How far an address or a route reaches (rtm_scope). */
export const RT_SCOPE = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
// biome-ignore format: tables read best as tables
export const RTN = {
  unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8, throw: 9,
} as const;
export const NDA = { DST: 1, LLADDR: 2, VLAN: 5, PORT: 6, VNI: 7, IFINDEX: 8, MASTER: 9 } as const;
// biome-ignore format: tables read best as tables
export const NUD = {
  incomplete: 0x01, reachable: 0x02, stale: 0x04, delay: 0x08, probe: 0x10, failed: 0x20, noarp: 0x40, permanent: 0x80,
} as const;
export const NTF = { SELF: 0x02, MASTER: 0x04, PROXY: 0x08, EXT_LEARNED: 0x10 } as const;
// biome-ignore format: tables read best as tables
export const FRA = {
  DST: 1, SRC: 2, IIFNAME: 3, GOTO: 4, PRIORITY: 6, FWMARK: 10, SUPPRESS_PREFIXLEN: 14, TABLE: 15, FWMASK: 16,
  OIFNAME: 17, PROTOCOL: 21,
} as const;
/** Multicast groups for monitors. */
// biome-ignore format: tables read best as tables
export const RTNLGRP = {
  LINK: 1, NEIGH: 3, IPV4_IFADDR: 5, IPV4_ROUTE: 7, IPV4_RULE: 8, IPV6_IFADDR: 9, IPV6_ROUTE: 11, IPV6_RULE: 19,
} as const;
