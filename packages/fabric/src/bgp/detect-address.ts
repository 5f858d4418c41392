import {
  type Address,
  addrList,
  type Cidr,
  type IpFamily,
  ipBits,
  type Link,
  linkFind,
  linkList,
  RT_SCOPE,
  type Rtnl,
  routeList,
} from '@amphipod/netlink';

/** Kinds of links that lead to no other node. */
const INNER_KINDS = new Set(['bridge', 'dummy', 'ifb', 'vxlan', 'ipvlan', 'macvlan', 'vrf', 'wireguard']);

/**
 * Finds the address of this node that other nodes reach it by: on the link of the default route, else on the first link that can lead
 * to other nodes. Single addresses come and go with whatever moves them (virtual IPs), and are passed over.
 * @returns with the prefix length of its network; undefined when there is none
 */
export function detectAddress(
  rtnl: Rtnl,
  family: IpFamily,
  interfaceName: string | undefined,
): Cidr | undefined {
  if (interfaceName !== undefined) {
    const link = linkFind(rtnl, interfaceName);
    return link === undefined ? undefined : firstUsable(addrList(rtnl, { ifIndex: link.ifIndex, family }));
  }
  const [route] = routeList(rtnl, { family })
    .filter(({ dst, ifIndex }) => ifIndex !== undefined && (dst === undefined || dst.prefix === 0))
    .sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
  if (route !== undefined) {
    const addresses = addrList(rtnl, { ifIndex: route.ifIndex!, family });
    // What the route says of the source beats the order of the addresses.
    const named = addresses.filter(({ cidr }) => cidr.ip.value === route.src?.value);
    return firstUsable(named) ?? firstUsable(addresses);
  }
  for (const link of linkList(rtnl).filter(isOuter)) {
    const found = firstUsable(addrList(rtnl, { ifIndex: link.ifIndex, family }));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** True while an interface has this address. */
export function hasAddress(rtnl: Rtnl, { ip }: Cidr): boolean {
  return addrList(rtnl, { family: ip.family }).some(({ cidr }) => cidr.ip.value === ip.value);
}

function isOuter({ kind, flags, name }: Link): boolean {
  return (
    flags.up && name !== 'lo' && !(kind !== undefined && INNER_KINDS.has(kind)) && !name.startsWith('cali')
  );
}

function firstUsable(addresses: readonly Address[]): Cidr | undefined {
  const usable = addresses.filter(
    ({ scope, flags, cidr }) =>
      scope === RT_SCOPE.global &&
      !flags.tentative &&
      !flags.dadFailed &&
      !flags.secondary &&
      cidr.prefix < ipBits(cidr.ip.family),
  );
  // Temporary addresses of IPv6 come and go.
  return (usable.find(({ flags }) => flags.permanent) ?? usable[0])?.cidr;
}
