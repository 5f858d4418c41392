import { MessageWriter } from '../attributes.ts';
import { type Begin, collect, type NetlinkRequest, NLM_F } from '../conn.ts';
import { ERRNO, NetlinkError } from '../errors.ts';
import { formatCidr, formatIp, type IpFamily, ipToBytes, networkOf } from '../ip.ts';
import { familyNumbers } from './address.ts';
import { AF, RT_SCOPE, RT_TABLE, RTA, RTAX, RTM, RTN, RTNH_F, RTPROT } from './constants.ts';
import { parseRoute } from './route-parse.ts';
import type { NextHop, Route, RouteSpec } from './route-types.ts';
import type { Rtnl } from './rtnl.ts';

const RTMSG = 12;

/** `ip route add DST [via …] [dev …] [src …] [metric …] [table …] [mtu …] [onlink]`. @throws NetlinkError EEXIST, ENETUNREACH */
export function routeAdd(conn: Rtnl, route: RouteSpec): void {
  conn.execute(routeAddRequest(route));
}

/** {@link routeAdd} for {@link NetlinkConn.executeAll}. */
export function routeAddRequest(route: RouteSpec): NetlinkRequest {
  return routeRequest('add', route, NLM_F.CREATE | NLM_F.EXCL);
}

/** `ip route replace …`: adds the route, or takes the place of the first with its destination, metric and table. */
export function routeReplace(conn: Rtnl, route: RouteSpec): void {
  conn.execute(routeReplaceRequest(route));
}

/** {@link routeReplace} for {@link NetlinkConn.executeAll}. */
export function routeReplaceRequest(route: RouteSpec): NetlinkRequest {
  return routeRequest('replace', route, NLM_F.CREATE | NLM_F.REPLACE);
}

/** `ip route append …`: another route to the same destination; for IPv6 another next hop. */
export function routeAppend(conn: Rtnl, route: RouteSpec): void {
  conn.execute(routeAppendRequest(route));
}

/** {@link routeAppend} for {@link NetlinkConn.executeAll}. */
export function routeAppendRequest(route: RouteSpec): NetlinkRequest {
  return routeRequest('append', route, NLM_F.CREATE | NLM_F.APPEND);
}

function routeRequest(verb: string, route: RouteSpec, flags: number): NetlinkRequest {
  const message = new MessageWriter(256).message(RTM.NEWROUTE, NLM_F.REQUEST | NLM_F.ACK | flags);
  writeRoute(message, route, {
    protocol: route.protocol ?? RTPROT.BOOT,
    scope: scopeOf(route) ?? usualScope(route),
    type: RTN[route.type ?? 'unicast'],
  });
  return { op: `${verb} route ${describeRoute(route)}`, message };
}

/** `ip route del …`: the first route that has all that is given; false when there is none. @throws NetlinkError */
export function routeDel(conn: Rtnl, route: RouteSpec): boolean {
  const message = new MessageWriter(256).message(RTM.DELROUTE, NLM_F.REQUEST | NLM_F.ACK);
  writeRoute(message, route, {
    protocol: route.protocol ?? 0,
    // For a deletion "nowhere" matches every scope and type 0 every type.
    scope: scopeOf(route) ?? RT_SCOPE.nowhere,
    type: route.type === undefined ? 0 : RTN[route.type],
  });
  try {
    conn.execute({ op: `delete route ${describeRoute(route)}`, message });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ESRCH) return false;
    throw error;
  }
}

/** `ip route show [table …] [dev …]`: the main table unless said otherwise; the kernel filters. @throws NetlinkError */
export function routeList(conn: Rtnl, filter: RouteFilter = {}): Route[] {
  return collect<Route>((begin) => routeEach(conn, filter, begin));
}

export interface RouteFilter {
  family?: IpFamily;
  ifIndex?: number;
  table?: number | 'all';
}

/** {@link routeList} for tables of many thousands, as {@link NetlinkConn.each} tells them. */
export function routeEach(conn: Rtnl, filter: RouteFilter, begin: Begin<Route>): void {
  const table = filter.table ?? RT_TABLE.MAIN;
  const message = new MessageWriter(64).message(RTM.GETROUTE, NLM_F.REQUEST | NLM_F.DUMP);
  message.header(RTMSG)[0] = filter.family === undefined ? AF.UNSPEC : familyNumbers[filter.family];
  if (table !== 'all') message.u32(RTA.TABLE, table);
  if (filter.ifIndex !== undefined) message.u32(RTA.OIF, filter.ifIndex);
  try {
    conn.each({ op: 'list routes', message }, () => {
      const tell = begin();
      return ({ type, payload }) => {
        const route = type === RTM.NEWROUTE ? parseRoute(payload) : undefined;
        if (route === undefined || (table !== 'all' && route.table !== table)) return;
        if (filter.ifIndex === undefined || routeLinks(route).includes(filter.ifIndex)) tell(route);
      };
    });
  } catch (error) {
    // A table that nothing was ever put into does not exist.
    if (!(error instanceof NetlinkError && error.errno === ERRNO.ENOENT)) throw error;
  }
}

function routeLinks(route: Route): (number | undefined)[] {
  return [route.ifIndex, ...(route.nextHops ?? []).map((hop) => hop.ifIndex)];
}

function scopeOf(route: RouteSpec): number | undefined {
  return typeof route.scope === 'string' ? RT_SCOPE[route.scope] : route.scope;
}

/** As iproute2 does it: what needs no gateway reaches no further than the link. */
function usualScope(route: RouteSpec): number {
  if (route.type === 'local') return RT_SCOPE.host;
  const isDirect = route.gateway === undefined && route.nextHops === undefined;
  return isDirect && (route.type ?? 'unicast') === 'unicast' ? RT_SCOPE.link : RT_SCOPE.global;
}

function familyOf(route: RouteSpec): IpFamily {
  const { dst, family, src, gateway, nextHops } = route;
  return dst?.ip.family ?? family ?? src?.family ?? gateway?.family ?? nextHops?.[0]?.gateway?.family ?? 4;
}

interface RouteHeader {
  protocol: number;
  scope: number;
  type: number;
}

function writeRoute(message: MessageWriter, route: RouteSpec, how: RouteHeader): void {
  const family = familyOf(route);
  const table = route.table ?? RT_TABLE.MAIN;
  const header = message.header(RTMSG);
  header[0] = familyNumbers[family];
  header[1] = route.dst?.prefix ?? 0;
  header[4] = table < 256 ? table : 0;
  header[5] = how.protocol;
  header[6] = how.scope;
  header[7] = how.type;
  header.writeUInt32LE(route.onlink ? RTNH_F.ONLINK : 0, 8);
  if (table >= 256) message.u32(RTA.TABLE, table);
  if (route.dst !== undefined && route.dst.prefix > 0) {
    message.bytesOf(RTA.DST, ipToBytes(networkOf(route.dst).ip));
  }
  if (route.src !== undefined) message.bytesOf(RTA.PREFSRC, ipToBytes(route.src));
  if (route.priority !== undefined) message.u32(RTA.PRIORITY, route.priority);
  if (route.ifIndex !== undefined) message.u32(RTA.OIF, route.ifIndex);
  writeGateway(message, family, route);
  writeMetrics(message, route);
  const { nextHops } = route;
  if (nextHops !== undefined) {
    message.nested(RTA.MULTIPATH, () => {
      for (const hop of nextHops) writeNextHop(message, family, hop);
    });
  }
}

function writeGateway(message: MessageWriter, family: IpFamily, hop: NextHop): void {
  if (hop.gateway === undefined) return;
  const bytes = ipToBytes(hop.gateway);
  if (hop.gateway.family === family) {
    message.bytesOf(RTA.GATEWAY, bytes);
    return;
  }
  // struct rtvia: an IPv4 network behind an IPv6 gateway.
  const via = Buffer.alloc(2 + bytes.length);
  via.writeUInt16LE(familyNumbers[hop.gateway.family]);
  via.set(bytes, 2);
  message.bytesOf(RTA.VIA, via);
}

function writeMetrics(message: MessageWriter, route: RouteSpec): void {
  const { mtu, advmss } = route;
  if (mtu === undefined && advmss === undefined) return;
  message.nested(RTA.METRICS, () => {
    if (mtu !== undefined) message.u32(RTAX.MTU, mtu);
    if (advmss !== undefined) message.u32(RTAX.ADVMSS, advmss);
  });
}

/** struct rtnexthop */
function writeNextHop(message: MessageWriter, family: IpFamily, hop: NextHop): void {
  message.sized(8, (header) => {
    header[2] = hop.onlink ? RTNH_F.ONLINK : 0;
    header[3] = (hop.weight ?? 1) - 1;
    header.writeInt32LE(hop.ifIndex ?? 0, 4);
    writeGateway(message, family, hop);
  });
}

function describeRoute(route: RouteSpec): string {
  const via = route.gateway === undefined ? '' : ` via ${formatIp(route.gateway)}`;
  return `${route.dst === undefined ? 'default' : formatCidr(route.dst)}${via}`;
}
