import { type IpAddress, linkFind, type Rtnl, routeGet } from '@amphipod/netlink';
import { ensureSysctl } from '../lib/settings.ts';

/** Lets packets from 127.0.0.1 out of the interface that leads to the pod, and of no other (field case NET-13). */
export function allowLoopback(rtnl: Rtnl, pod: IpAddress): void {
  const route = routeGet(rtnl, pod);
  // The default route leads out of the machine.
  if (route?.dst === undefined || route.ifIndex === undefined) return;
  const link = linkFind(rtnl, route.ifIndex);
  if (link !== undefined) ensureSysctl(`net/ipv4/conf/${link.name}/route_localnet`, '1');
}
