import {
  type MonitorEvent,
  type Route,
  type RouteSpec,
  RT_TABLE,
  RTPROT,
  type Rtnl,
  routeDel,
  routeEach,
  routeReplaceRequest,
} from '@amphipod/netlink';
import { executeBatched } from './execute-batched.ts';
import { cidrKey } from './ip-key.ts';
import type { WantedFamily } from './wanted-family.ts';
import type { WantedRoute } from './wanted-state.ts';

/** `proto 97`: marks the routes that we made. Above 127 are well-known programs, below 5 the kernel and people. */
export const overlayRouteProtocol = 97;
/** What IPv6 routes have when nothing is said. */
const USUAL_PRIORITY = 1024;
/** Of the default route, which is never wanted. */
const DEFAULT_KEY = 0n;

/** The routes of one family. Ours are those with our protocol number, and all on our own device. */
export interface FamilyRoutes {
  family: WantedFamily;
  /** The link of our device. */
  deviceIndex: number | undefined;
}

export type RouteEvent = Extract<MonitorEvent, { subject: 'route' }>;

/** Makes all routes of a family as they are wanted. @returns the number of differences mended */
export function syncRoutes(conn: Rtnl, routes: FamilyRoutes): number {
  const { family, deviceIndex } = routes;
  const right = new Set<WantedRoute>();
  const unwanted: Route[] = [];
  routeEach(conn, { family: family.family }, () => {
    right.clear();
    unwanted.length = 0;
    return (route) => {
      if (!isOurs(route, deviceIndex)) return;
      const want = family.routes.get(keyOf(route));
      if (want !== undefined && isSame(route, want, linkOf(want, routes))) right.add(want);
      else unwanted.push(route);
    };
  });
  const missing =
    right.size === family.routes.size ? [] : [...family.routes.values()].filter((want) => !right.has(want));
  putRoutes(conn, missing, routes);
  const replaced = new Set(missing.map(({ dst }) => cidrKey(dst)));
  let mended = missing.length;
  for (const route of unwanted) {
    // What had the same priority as its successor was replaced. To delete it would delete the successor: IPv6 does not look at
    // all that tells them apart.
    if (replaced.has(keyOf(route)) && hasUsualPriority(route)) continue;
    if (routeDel(conn, route)) mended++;
  }
  return mended;
}

/** Makes what leases have changed since the last time. @returns the number of changes */
export function applyRouteChanges(conn: Rtnl, routes: FamilyRoutes): number {
  let deleted = 0;
  const puts: WantedRoute[] = [];
  for (const [key, before] of routes.family.routes.takeChanges()) {
    const now = routes.family.routes.get(key);
    if (isSameWanted(now, before)) continue;
    if (now !== undefined) puts.push(now);
    else {
      routeDel(conn, specOf(before!, routes));
      deleted++;
    }
  }
  putRoutes(conn, puts, routes);
  return puts.length + deleted;
}

/** True when a route is announced that is not as it is wanted, or that may have taken the place of one that is. */
export function isRouteDeviation({ change, route }: RouteEvent, routes: FamilyRoutes): boolean {
  const { family, deviceIndex } = routes;
  if (route.family !== family.family || route.table !== RT_TABLE.MAIN) return false;
  const want = family.routes.get(keyOf(route));
  if (want === undefined) return change === 'new' && isOurs(route, deviceIndex);
  return change === 'gone' ? isOurs(route, deviceIndex) : !isSame(route, want, linkOf(want, routes));
}

/**
 * Mends what an announcement named.
 * @returns the number of differences; undefined when the whole table has to be looked at: a destination can have several routes
 */
export function mendRoute(conn: Rtnl, event: RouteEvent, routes: FamilyRoutes): number | undefined {
  if (!isRouteDeviation(event, routes)) return 0;
  const { change, route } = event;
  const want = routes.family.routes.get(keyOf(route));
  if (want === undefined) return routeDel(conn, route) ? 1 : 0;
  if (change === 'new') return undefined;
  putRoutes(conn, [want], routes);
  return 1;
}

function putRoutes(conn: Rtnl, wants: readonly WantedRoute[], routes: FamilyRoutes): void {
  executeBatched(conn, wants, (want) => routeReplaceRequest(specOf(want, routes)));
}

function specOf(want: WantedRoute, routes: FamilyRoutes): RouteSpec {
  const { dst, gateway, onlink } = want;
  const ifIndex = linkOf(want, routes);
  return {
    dst,
    protocol: overlayRouteProtocol,
    ...(gateway !== undefined && { gateway, onlink }),
    ...(ifIndex !== undefined && { ifIndex }),
  };
}

/** The link of a route; undefined when our device is not there. */
function linkOf({ onlink }: WantedRoute, { family, deviceIndex }: FamilyRoutes): number | undefined {
  return onlink ? deviceIndex : family.underlayIndex;
}

function keyOf({ dst }: Route): bigint {
  return dst === undefined ? DEFAULT_KEY : cidrKey(dst);
}

function isSameWanted(a: WantedRoute | undefined, b: WantedRoute | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.gateway?.value === b.gateway?.value && a.link === b.link && a.onlink === b.onlink;
}

function hasUsualPriority({ family, priority = 0 }: Route): boolean {
  return priority === (family === 6 ? USUAL_PRIORITY : 0);
}

function isOurs({ protocol, ifIndex }: Route, deviceIndex: number | undefined): boolean {
  if (protocol === overlayRouteProtocol) return true;
  // Routes that come with addresses are the kernel's.
  return protocol !== RTPROT.KERNEL && ifIndex !== undefined && ifIndex === deviceIndex;
}

function isSame(route: Route, { gateway, onlink }: WantedRoute, ifIndex: number | undefined): boolean {
  return (
    route.protocol === overlayRouteProtocol &&
    route.ifIndex === ifIndex &&
    route.gateway?.family === gateway?.family &&
    route.gateway?.value === gateway?.value &&
    (route.onlink ?? false) === (onlink && gateway !== undefined) &&
    (route.type ?? 'unicast') === 'unicast' &&
    hasUsualPriority(route) &&
    route.mtu === undefined
  );
}
