import {
  type Cidr,
  contains,
  formatCidr,
  type IpFamily,
  networkOf,
  parseCidr,
  type Route,
  type RouteSpec,
} from '@amphipod/netlink';
import { directFirst, isDirect, leadsThrough, MAIN_TABLE } from '../lib/route-tables.ts';
import type { Source } from './sources.ts';

/** Of routes without a metric of their own. */
const usualPriority: Record<IpFamily, number> = { 4: 0, 6: 1024 };
const linkLocal = parseCidr('fe80::/10');

/**
 * The routes of the main table through the interface, direct ones first. IPv6's link-local network stays: its addresses have no
 * table of their own, and neighbours and routers are found by them.
 */
export function movableRoutes(routes: readonly Route[], ifIndex: number): Route[] {
  const found = routes.filter(
    (route) =>
      route.table === MAIN_TABLE &&
      leadsThrough(route, ifIndex) &&
      !(route.dst !== undefined && contains(linkLocal, route.dst)),
  );
  return directFirst(found);
}

/** What the table of an address gets, without table and interface. */
export function tableRoutes(moving: readonly Route[], source: Source): RouteSpec[] {
  const { address, gateway, isFixed } = source;
  const { family } = address.ip;
  const copies = moving.filter((route) => route.family === family && concerns(route, address));
  if (gateway === undefined) return copies;
  const kept = isFixed ? copies.filter(({ dst }) => dst !== undefined) : copies;
  const hasDefault = kept.some(
    ({ dst, priority = 0 }) => dst === undefined && priority === usualPriority[family],
  );
  return hasDefault ? kept : directFirst([...kept, { family, gateway }]);
}

/** As the reference sees it: the address's own network, and what is of no network in particular. */
function concerns(route: Route, address: Cidr): boolean {
  const { src, gateway, nextHops } = route;
  if (src !== undefined && contains(address, src)) return true;
  const gateways = (nextHops ?? [{ gateway }]).flatMap((hop) => hop.gateway ?? []);
  return gateways.length === 0 ? src === undefined : gateways.some((ip) => contains(address, ip));
}

/** Routes to the networks of the addresses that say which address to use; of several in one network the last. */
export function sourceHints(sources: readonly Source[]): RouteSpec[] {
  const hints = sources.map(
    ({ address }): RouteSpec => ({ dst: networkOf(address), src: address.ip, scope: 'link' }),
  );
  return [...new Map(hints.map((hint) => [formatCidr(hint.dst!), hint])).values()];
}

/** With hints: what leaves the main table. IPv4's other direct routes stay, as in the reference. */
export function replacedBy(moving: readonly Route[], hints: readonly RouteSpec[]): Route[] {
  const hinted = new Set(hints.map(({ dst }) => formatCidr(dst!)));
  return moving.filter(
    (route) => route.family === 6 || !isDirect(route) || hinted.has(formatCidr(route.dst!)),
  );
}
