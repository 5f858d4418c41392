import type {
  NftCtKey,
  NftExpression,
  NftExpressionOf,
  NftFibFlag,
  NftMetaKey,
  NftRegister,
} from './expression-types.ts';
import { type NftValueType, valueTypes } from './value-types.ts';

/** Something of a packet that a rule can look at: how it gets into a register, and the type of what is then there. */
export interface NftSelector {
  type: NftValueType;
  load(register: NftRegister): NftExpression;
}

type PayloadBase = NftExpressionOf<'payload'>['base'];

function payload(type: NftValueType, base: PayloadBase, offset: number): NftSelector {
  const { bytes: length } = valueTypes[type];
  return { type, load: (register) => ({ expr: 'payload', base, offset, length, register }) };
}

function metaKey(type: NftValueType, key: NftMetaKey): NftSelector {
  return { type, load: (register) => ({ expr: 'meta', key, register }) };
}

function ctKey(type: NftValueType, key: NftCtKey, direction?: 'original' | 'reply'): NftSelector {
  return {
    type,
    load: (register) => ({ expr: 'ct', key, register, ...(direction === undefined ? {} : { direction }) }),
  };
}

/** Of the Ethernet header. Outside of bridge and netdev tables put `eq(meta.iiftype, ethernet)` before. */
export const ether = {
  daddr: payload('ether_addr', 'link', 0),
  saddr: payload('ether_addr', 'link', 6),
  type: payload('ether_type', 'link', 12),
};

/** Of the IPv4 header. In an inet table put `eq(meta.nfproto, nfProtocols.ipv4)` before. */
export const ip = {
  protocol: payload('inet_proto', 'network', 9),
  saddr: payload('ipv4_addr', 'network', 12),
  daddr: payload('ipv4_addr', 'network', 16),
};

/** Of the IPv6 header. In an inet table put `eq(meta.nfproto, nfProtocols.ipv6)` before. */
export const ip6 = {
  nexthdr: payload('inet_proto', 'network', 6),
  saddr: payload('ipv6_addr', 'network', 8),
  daddr: payload('ipv6_addr', 'network', 24),
};

/** Ports of whatever transport protocol it is; put a match on `meta.l4proto` before. */
export const th = {
  sport: payload('inet_service', 'transport', 0),
  dport: payload('inet_service', 'transport', 2),
};

/** Type of an ICMP message; put a match on `meta.l4proto` before. */
export const icmp = { type: payload('icmp_type', 'transport', 0) };
export const icmpv6 = { type: payload('icmpv6_type', 'transport', 0) };

export const meta = {
  iif: metaKey('iface_index', 'iif'),
  oif: metaKey('iface_index', 'oif'),
  iifname: metaKey('ifname', 'iifname'),
  oifname: metaKey('ifname', 'oifname'),
  iiftype: metaKey('arphrd', 'iiftype'),
  mark: metaKey('mark', 'mark'),
  protocol: metaKey('ether_type', 'protocol'),
  nfproto: metaKey('nf_proto', 'nfproto'),
  l4proto: metaKey('inet_proto', 'l4proto'),
};

export const ct = {
  state: ctKey('ct_state', 'state'),
  status: ctKey('ct_status', 'status'),
  mark: ctKey('mark', 'mark'),
  /** Put a match on `meta.l4proto` before. */
  originalDport: ctKey('inet_service', 'proto-dst', 'original'),
  originalSport: ctKey('inet_service', 'proto-src', 'original'),
  originalIpSaddr: ctKey('ipv4_addr', 'ip saddr', 'original'),
  originalIp6Saddr: ctKey('ipv6_addr', 'ip6 saddr', 'original'),
  originalIpDaddr: ctKey('ipv4_addr', 'ip daddr', 'original'),
  originalIp6Daddr: ctKey('ipv6_addr', 'ip6 daddr', 'original'),
};

/** `fib daddr type`, `fib saddr . iif oif`: what the routing table says. */
export const fib = {
  /** One of {@link fibTypes}. */
  type: (...flags: NftFibFlag[]): NftSelector => ({
    type: 'fib_addrtype',
    load: (register) => ({ expr: 'fib', result: 'type', flags, register }),
  }),
  oif: (...flags: NftFibFlag[]): NftSelector => ({
    type: 'iface_index',
    load: (register) => ({ expr: 'fib', result: 'oif', flags, register }),
  }),
};

/** Values of `fib … type`: include/uapi/linux/rtnetlink.h, RTN_*. */
export const fibTypes = { unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5 } as const;
/** Bits of `ct state`: include/uapi/linux/netfilter/nf_conntrack_common.h. */
export const ctStates = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** Bits of `ct status`. */
export const ctStatuses = { assured: 4, confirmed: 8, snat: 16, dnat: 32 } as const;
/** Transport protocol numbers. */
export const ipProtocols = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;
/** Value of `meta iiftype`: include/uapi/linux/if_arp.h, ARPHRD_ETHER. */
export const ethernet = 1;
/** Values of `meta nfproto`. */
export const nfProtocols = { ipv4: 2, ipv6: 10 } as const;
