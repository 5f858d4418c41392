import {
  type Cidr,
  formatCidr,
  type IpFamily,
  type Route,
  type RouteSpec,
  type Rtnl,
  routeDel,
  routeList,
  routeReplace,
} from '@amphipod/netlink';
import { type ClusterRoute, clusterRouteProtocol, type Way } from './cluster-route.ts';

/** What IPv6 routes have when nothing is said. */
const USUAL_IPV6_PRIORITY = 1024;

/** The links that routes lead to. Where one is missing, its routes wait. */
export type Links = { readonly [W in Way]?: number | undefined };

/** Makes the agent's own routes of a family as they are wanted; others' are not touched. @returns the number of differences mended */
export function syncClusterRoutes(
  conn: Rtnl,
  routes: readonly ClusterRoute[],
  { family, links }: { family: IpFamily; links: { readonly [F in IpFamily]: Links } },
): number {
  const wanted = new Map<string, RouteSpec>();
  for (const route of routes) {
    const spec = route.dst.ip.family === family ? specOf(route, links[family]) : undefined;
    if (spec !== undefined) wanted.set(keyOf(route.dst, priorityOf(spec, family)), spec);
  }
  let mended = 0;
  const unwanted: Route[] = [];
  const right = new Set<string>();
  for (const route of routeList(conn, { family })) {
    if (route.protocol !== clusterRouteProtocol) continue;
    const key = keyOf(route.dst, priorityOf(route, family));
    const want = wanted.get(key);
    if (want !== undefined && isSame(route, want)) right.add(key);
    else unwanted.push(route);
  }
  for (const [key, want] of wanted) {
    if (right.has(key)) continue;
    routeReplace(conn, want);
    mended++;
  }
  for (const route of unwanted) {
    // What had the priority of its successor was replaced. To delete it would delete the successor.
    if (wanted.has(keyOf(route.dst, priorityOf(route, family)))) continue;
    if (routeDel(conn, route)) mended++;
  }
  return mended;
}

function specOf({ dst, way, gateway, priority }: ClusterRoute, links: Links): RouteSpec | undefined {
  if (way === 'blackhole') return { dst, type: 'blackhole', protocol: clusterRouteProtocol };
  const ifIndex = links[way];
  if (ifIndex === undefined || gateway === undefined) return undefined;
  const metric = priority === undefined ? {} : { priority };
  return { dst, gateway, ifIndex, onlink: way !== 'direct', protocol: clusterRouteProtocol, ...metric };
}

/** Of several routes to a network the kernel tells those apart that differ in their priority. */
function keyOf(dst: Cidr | undefined, priority: number): string {
  return `${dst === undefined ? '' : formatCidr(dst)} ${priority}`;
}

function priorityOf({ priority = 0 }: RouteSpec, family: IpFamily): number {
  return priority || (family === 6 ? USUAL_IPV6_PRIORITY : 0);
}

function isSame(route: Route, want: RouteSpec): boolean {
  const type = want.type ?? 'unicast';
  if ((route.type ?? 'unicast') !== type) return false;
  // The kernel says of a blackhole of IPv6 that it is on the loopback.
  if (type === 'blackhole') return true;
  return (
    route.ifIndex === want.ifIndex &&
    route.gateway?.value === want.gateway?.value &&
    (route.onlink ?? false) === (want.onlink ?? false)
  );
}
