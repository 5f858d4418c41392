import {
  formatCidr,
  formatIp,
  linkFind,
  type Route,
  RTPROT,
  type Rtnl,
  routeDel,
  routeList,
  routeReplace,
} from '@amphipod/netlink';
import type { WantedRoute } from './wanted-state.ts';

/** `proto 97`: marks the routes that we made. Above 127 are well-known programs, below 5 the kernel and people. */
export const overlayRouteProtocol = 97;
/** What IPv6 routes have when nothing is said. */
const USUAL_PRIORITY = 1024;

/**
 * Makes the routes as they are wanted. Ours are those with our protocol number, and all on our own devices.
 * @param deviceIndexes the links of our VXLAN devices
 * @returns the number of differences mended
 */
export function syncRoutes(
  conn: Rtnl,
  wanted: readonly WantedRoute[],
  deviceIndexes: readonly number[],
): number {
  const missing = new Map(wanted.map((route) => [formatCidr(route.dst), route]));
  const linkIndexes = new Map<string, number | undefined>();
  const linkIndex = (name: string) => {
    if (!linkIndexes.has(name)) linkIndexes.set(name, linkFind(conn, name)?.ifIndex);
    return linkIndexes.get(name);
  };
  const unwanted: Route[] = [];
  for (const route of routeList(conn)) {
    if (!isOurs(route, deviceIndexes)) continue;
    const key = route.dst === undefined ? '' : formatCidr(route.dst);
    const want = missing.get(key);
    if (want !== undefined && isSame(route, want, linkIndex(want.link))) missing.delete(key);
    else unwanted.push(route);
  }
  for (const { dst, gateway, link, onlink } of missing.values()) {
    const ifIndex = linkIndex(link);
    // The link went away at this moment: the next look at the kernel finds the route missing still.
    if (ifIndex === undefined) continue;
    routeReplace(conn, { dst, gateway, ifIndex, protocol: overlayRouteProtocol, ...(onlink && { onlink }) });
  }
  // What had the same priority as its successor was replaced. To delete it would delete the successor: IPv6 does not look at
  // all that tells them apart.
  const left = unwanted.filter((route) => !isReplaced(route, missing));
  return missing.size + left.filter((route) => routeDel(conn, route)).length;
}

function isReplaced(route: Route, replaced: ReadonlyMap<string, WantedRoute>): boolean {
  return route.dst !== undefined && replaced.has(formatCidr(route.dst)) && hasUsualPriority(route);
}

function hasUsualPriority({ family, priority = 0 }: Route): boolean {
  return priority === (family === 6 ? USUAL_PRIORITY : 0);
}

function isOurs(route: Route, deviceIndexes: readonly number[]): boolean {
  if (route.protocol === overlayRouteProtocol) return true;
  // Routes that come with addresses are the kernel's.
  return (
    route.protocol !== RTPROT.KERNEL && route.ifIndex !== undefined && deviceIndexes.includes(route.ifIndex)
  );
}

function isSame(route: Route, { gateway, onlink }: WantedRoute, ifIndex: number | undefined): boolean {
  return (
    route.protocol === overlayRouteProtocol &&
    route.ifIndex === ifIndex &&
    route.gateway !== undefined &&
    formatIp(route.gateway) === formatIp(gateway) &&
    (route.onlink ?? false) === onlink &&
    (route.type ?? 'unicast') === 'unicast' &&
    hasUsualPriority(route) &&
    route.mtu === undefined
  );
}
