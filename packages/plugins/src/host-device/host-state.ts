import {
  type Address,
  addrAdd,
  addrList,
  type Link,
  linkSet,
  type Route,
  RT_SCOPE,
  RTPROT,
  type Rtnl,
  routeAppend,
  routeList,
} from '@amphipod/netlink';
import { directFirst } from '../lib/route-tables.ts';

/** What a device loses when it leaves the host, for an ADD that fails after that. */
export interface HostState {
  link: Link;
  addresses: Address[];
  routes: Route[];
}

export function saveHostState(rtnl: Rtnl, link: Link): HostState {
  const { ifIndex } = link;
  return {
    link,
    addresses: addrList(rtnl, { ifIndex }).filter(({ scope }) => scope === RT_SCOPE.global),
    // Those of the kernel come and go with addresses.
    routes: routeList(rtnl, { ifIndex }).filter(({ protocol }) => protocol !== RTPROT.KERNEL),
  };
}

/** Puts it back on the device, which is on the host again, as `ifIndex`. */
export function restoreHostState(rtnl: Rtnl, ifIndex: number, { link, addresses, routes }: HostState): void {
  const { up } = link.flags;
  linkSet(rtnl, ifIndex, { alias: link.alias ?? '', up });
  for (const { cidr, broadcast, flags } of addresses) {
    const { noDad, noPrefixRoute } = flags;
    addrAdd(rtnl, ifIndex, cidr, { noDad, noPrefixRoute, ...(broadcast !== undefined && { broadcast }) });
  }
  if (up) for (const route of directFirst(routes)) routeAppend(rtnl, { ...route, ifIndex });
}
