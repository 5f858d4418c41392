import { contains, type IpAddress, linkFind, type Rtnl, routeList } from '@amphipod/netlink';
import { ensureSysctl } from '../lib/settings.ts';

/** Lets packets from 127.0.0.1 out of the interface that leads to the pod, and of no other (field case NET-13). */
export function allowLoopback(rtnl: Rtnl, pod: IpAddress): void {
  const [best] = routeList(rtnl, { family: 4 })
    .filter(({ dst }) => dst !== undefined && contains(dst, pod))
    .sort((a, b) => b.dst!.prefix - a.dst!.prefix);
  const link = best?.ifIndex === undefined ? undefined : linkFind(rtnl, best.ifIndex);
  if (link !== undefined) ensureSysctl(`net/ipv4/conf/${link.name}/route_localnet`, '1');
}
