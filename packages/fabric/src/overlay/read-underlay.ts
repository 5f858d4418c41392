import {
  addrList,
  type Cidr,
  type IpAddress,
  type IpFamily,
  linkFind,
  linkGet,
  RT_SCOPE,
  type Rtnl,
  routeList,
} from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { Underlay } from './wanted-state.ts';

export interface ReadUnderlayOptions {
  /** The families that are needed. */
  families: readonly IpFamily[];
  /** Name of the link; that of the default route unless given. */
  name?: string;
}

/**
 * Finds the link that carries the nodes' traffic and this node's addresses on it: the first of each family that is global and
 * ready to use.
 * @throws FabricError `invalid-config` when there is no such link or it lacks an address
 */
export function readUnderlay(conn: Rtnl, { families, name }: ReadUnderlayOptions): Underlay {
  const link = name === undefined ? defaultLink(conn, families) : linkFind(conn, name);
  if (link === undefined) {
    throw new FabricError(
      'invalid-config',
      name === undefined
        ? 'find public address: there is no default route; name the interface'
        : `find public address: there is no interface ${JSON.stringify(name)}`,
    );
  }
  const { ifIndex, mtu } = link;
  const [ip, ipv6] = ([4, 6] as const).map((family) => {
    const found = families.includes(family) ? publicAddress(conn, ifIndex, family) : undefined;
    if (families.includes(family) && found === undefined) {
      throw new FabricError(
        'invalid-config',
        `find public address: interface ${JSON.stringify(link.name)} has no global IPv${family} address`,
      );
    }
    return found;
  });
  return {
    name: link.name,
    ifIndex,
    mtu,
    ...(ip !== undefined && { ip }),
    ...(ipv6 !== undefined && { ipv6 }),
    onLink: onLinkNetworks(conn, ifIndex),
  };
}

/** The link of the default route of the first family that has one. */
function defaultLink(conn: Rtnl, families: readonly IpFamily[]) {
  for (const family of families) {
    const routes = routeList(conn, { family }).filter(
      ({ dst, ifIndex }) => ifIndex !== undefined && (dst === undefined || dst.prefix === 0),
    );
    routes.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
    if (routes[0] !== undefined) return linkGet(conn, routes[0].ifIndex!);
  }
  return undefined;
}

function publicAddress(conn: Rtnl, ifIndex: number, family: IpFamily): IpAddress | undefined {
  const usable = addrList(conn, { ifIndex, family }).filter(
    ({ scope, flags }) =>
      scope === RT_SCOPE.global && !flags.tentative && !flags.dadFailed && !flags.secondary,
  );
  // Temporary addresses of IPv6 come and go.
  return (usable.find(({ flags }) => flags.permanent) ?? usable[0])?.cidr.ip;
}

function onLinkNetworks(conn: Rtnl, ifIndex: number): Cidr[] {
  return routeList(conn, { ifIndex }).flatMap(({ dst, gateway, nextHops, type = 'unicast' }) =>
    dst === undefined || gateway !== undefined || nextHops !== undefined || type !== 'unicast' ? [] : [dst],
  );
}
