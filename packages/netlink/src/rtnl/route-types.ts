import type { Cidr, IpAddress, IpFamily } from '../ip.ts';

/** One way out. */
export interface NextHop {
  ifIndex?: number;
  /** May be an IPv6 address for an IPv4 route. */
  gateway?: IpAddress;
  /** 1 to 256, for one of several; 1 unless given. */
  weight?: number;
  /** The gateway is on the link although no route says so. */
  onlink?: boolean;
}

export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw';

/** A route to add or delete. */
export interface RouteSpec extends NextHop {
  /** Absent: the default route of `family`, or of the gateway's family. */
  dst?: Cidr;
  family?: IpFamily;
  /** Preferred source address. */
  src?: IpAddress;
  /** Metric; lower wins. */
  priority?: number;
  /** 254 (main) unless given. */
  table?: number;
  /** As iproute2 has it unless given: `link` without a gateway, else `global`. IPv4 only. */
  scope?: 'global' | 'site' | 'link' | 'host' | number;
  type?: RouteType;
  /** Who made it: 3 (boot) unless given. */
  protocol?: number;
  mtu?: number;
  advmss?: number;
  /** Several ways at once (ECMP). */
  nextHops?: NextHop[];
}

/** A route as the kernel has it. */
export interface Route extends RouteSpec {
  family: IpFamily;
  table: number;
  protocol: number;
  scope: number;
}
