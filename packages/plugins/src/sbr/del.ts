import type { PluginRequest } from '@amphipod/cni';
import {
  addrList,
  compareIp,
  type IpAddress,
  linkFind,
  type Rtnl,
  routeDel,
  routeList,
  ruleDel,
  ruleList,
} from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import { openPodIfThere, type PluginHost } from '../lib/host.ts';
import { isAnothers } from '../lib/is-anothers.ts';
import { podAddresses } from '../lib/prev-result.ts';
import { leadsThrough } from '../lib/route-tables.ts';
import { findTable } from './config.ts';
import { isSourceRule, type SourceRule } from './source-rule.ts';

/** Removes the rules of the interface's addresses and what their tables have of the interface; the rest goes with the interface. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  using pod = openPodIfThere(host, request.netns);
  if (pod === undefined) return;
  const { rtnl } = pod;
  const link = linkFind(rtnl, request.ifName);
  if (link !== undefined && isAnothers(host, request, link)) return;
  const addresses = ownAddresses(rtnl, request, link?.ifIndex);
  const table = findTable(request);
  const rules = addresses.length === 0 ? [] : sourceRules(rtnl, addresses, table);
  const attempts = new Attempts();
  for (const { family, priority, src, table } of rules) {
    await attempts.run(() => ruleDel(rtnl, { family, priority, src, table }));
  }
  // A table that the configuration names is somebody else's.
  if (table === undefined && link !== undefined && rules.length > 0) {
    await attempts.run(() => clearTables(rtnl, new Set(rules.map((rule) => rule.table)), link.ifIndex));
  }
  attempts.throwIfAny();
}

/** Those on the interface, and those of the result unless another interface has them now. */
function ownAddresses(rtnl: Rtnl, request: PluginRequest, ifIndex: number | undefined): IpAddress[] {
  const present = addrList(rtnl);
  const isPresent = (ip: IpAddress) => present.some(({ cidr }) => compareIp(cidr.ip, ip) === 0);
  return [
    ...present.filter((address) => address.ifIndex === ifIndex).map(({ cidr }) => cidr.ip),
    ...podAddresses(request)
      .map(({ ip }) => ip)
      .filter((ip) => !isPresent(ip)),
  ];
}

function sourceRules(rtnl: Rtnl, addresses: readonly IpAddress[], table: number | undefined): SourceRule[] {
  return ruleList(rtnl)
    .filter((rule) => isSourceRule(rule, table))
    .filter(({ src }) => addresses.some((ip) => compareIp(src.ip, ip) === 0));
}

function clearTables(rtnl: Rtnl, tables: ReadonlySet<number>, ifIndex: number): void {
  const routes = routeList(rtnl, { table: 'all' });
  const own = routes.filter((route) => tables.has(route.table) && leadsThrough(route, ifIndex));
  for (const route of own) routeDel(rtnl, route);
}
