import { type Route, type RouteSpec, type Rtnl, routeList, ruleList } from '@amphipod/netlink';

/** Of every network namespace: default, main, local. */
const RESERVED = [253, 254, 255];
export const MAIN_TABLE = 254;

/** Routing tables that something is in or leads to. */
export function usedTables(
  rtnl: Rtnl,
  routes: readonly Route[] = routeList(rtnl, { table: 'all' }),
): Set<number> {
  return new Set([
    ...RESERVED,
    ...routes.map(({ table }) => table),
    ...ruleList(rtnl).map(({ table }) => table),
  ]);
}

/** The first free table from `first` on, which is taken with that. */
export function takeTable(used: Set<number>, first: number): number {
  let table = first;
  while (used.has(table)) table++;
  used.add(table);
  return table;
}

/** True when all that a route sends goes through the link. */
export function leadsThrough({ ifIndex, nextHops }: RouteSpec, link: number): boolean {
  return nextHops === undefined ? ifIndex === link : nextHops.every((hop) => hop.ifIndex === link);
}

/** True when a route needs no other one to reach its gateway. */
export function isDirect({ gateway, nextHops }: RouteSpec): boolean {
  return gateway === undefined && nextHops === undefined;
}

/** In an order in which they can be added: gateways have to be reachable. */
export function directFirst<T extends RouteSpec>(routes: readonly T[]): T[] {
  return [...routes.filter(isDirect), ...routes.filter((route) => !isDirect(route))];
}
