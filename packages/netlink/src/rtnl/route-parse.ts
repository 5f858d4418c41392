import { AttributeReader, align4 } from '../attributes.ts';
import { malformed } from '../errors.ts';
import { type IpFamily, ipFromBytes } from '../ip.ts';
import { AF, RTA, RTAX, RTN, RTNH_F } from './constants.ts';
import type { NextHop, Route, RouteType } from './route-types.ts';

const RTMSG = 12;
const RTNEXTHOP = 8;

/**
 * Reads the payload of an RTM_NEWROUTE or RTM_DELROUTE; undefined for other families and for the kernel's own broadcast,
 * anycast and multicast routes. @throws NetlinkError EPROTO
 */
export function parseRoute(payload: Buffer): Route | undefined {
  if (payload.length < RTMSG) throw malformed(`route message of ${payload.length} bytes`);
  if (payload[0] !== AF.INET && payload[0] !== AF.INET6) return undefined;
  const type = routeType(payload[7]!);
  if (type === undefined) return undefined;
  const family: IpFamily = payload[0] === AF.INET ? 4 : 6;
  const route: Route = { family, table: payload[4]!, protocol: payload[5]!, scope: payload[6]!, type };
  if ((payload.readUInt32LE(8) & RTNH_F.ONLINK) !== 0) route.onlink = true;
  const attrs = new AttributeReader(payload, RTMSG);
  while (attrs.next()) readAttribute(route, attrs, payload[1]!);
  return route;
}

function routeType(number: number): RouteType | undefined {
  switch (number) {
    case RTN.unicast:
      return 'unicast';
    case RTN.local:
      return 'local';
    case RTN.blackhole:
      return 'blackhole';
    case RTN.unreachable:
      return 'unreachable';
    case RTN.prohibit:
      return 'prohibit';
    case RTN.throw:
      return 'throw';
    default:
      return undefined;
  }
}

function readAttribute(route: Route, attrs: AttributeReader, prefix: number): void {
  const size = route.family === 4 ? 4 : 16;
  switch (attrs.type) {
    case RTA.DST:
      route.dst = { ip: attrs.ip(size), prefix };
      break;
    case RTA.PREFSRC:
      route.src = attrs.ip(size);
      break;
    case RTA.PRIORITY:
      route.priority = attrs.u32();
      break;
    case RTA.TABLE:
      route.table = attrs.u32();
      break;
    case RTA.METRICS:
      readMetrics(route, attrs.nested());
      break;
    case RTA.MULTIPATH:
      route.nextHops = readNextHops(attrs.bytes());
      break;
    default:
      readHop(route, attrs);
  }
}

function readHop(hop: NextHop, attrs: AttributeReader): void {
  if (attrs.type === RTA.OIF) hop.ifIndex = attrs.u32();
  else if (attrs.type === RTA.GATEWAY) hop.gateway = attrs.ip();
  else if (attrs.type === RTA.VIA && (attrs.size === 6 || attrs.size === 18)) {
    hop.gateway = ipFromBytes(attrs.bytes().subarray(2));
  }
}

function readMetrics(route: Route, metrics: AttributeReader): void {
  while (metrics.next()) {
    if (metrics.type === RTAX.MTU) route.mtu = metrics.u32();
    else if (metrics.type === RTAX.ADVMSS) route.advmss = metrics.u32();
  }
}

function readNextHops(bytes: Buffer): NextHop[] {
  const hops: NextHop[] = [];
  for (let at = 0; bytes.length - at >= RTNEXTHOP; ) {
    const length = bytes.readUInt16LE(at);
    if (length < RTNEXTHOP || at + length > bytes.length) throw malformed(`next hop of ${length} bytes`);
    const hop: NextHop = { ifIndex: bytes.readInt32LE(at + 4), weight: bytes[at + 3]! + 1 };
    if ((bytes[at + 2]! & RTNH_F.ONLINK) !== 0) hop.onlink = true;
    const attrs = new AttributeReader(bytes, at + RTNEXTHOP, at + length);
    while (attrs.next()) readHop(hop, attrs);
    hops.push(hop);
    at += align4(length);
  }
  return hops;
}
