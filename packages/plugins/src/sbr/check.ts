import type { PluginRequest } from '@amphipod/cni';
import {
  compareIp,
  formatCidr,
  formatIp,
  linkFind,
  type Route,
  routeList,
  ruleList,
} from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { leadsThrough, MAIN_TABLE } from '../lib/route-tables.ts';
import { readConfig } from './config.ts';
import { sourceHints } from './routes.ts';
import { isSourceRule } from './source-rule.ts';
import { requireChained, type Source, sourcesOf } from './sources.ts';

/** Looks for the rule of each address, the default route of its table, and the hints. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const { table, gateways, addSourceHints } = readConfig(request);
  const sources = sourcesOf(requireChained(request), request.ifName, gateways);
  if (sources.length === 0) return;
  using pod = host.openPod(request.netns);
  const link = linkFind(pod.rtnl, request.ifName);
  if (link === undefined) throw checkFailure(`Cannot find container link ${request.ifName}`);
  const rules = ruleList(pod.rtnl).filter((rule) => isSourceRule(rule, table));
  const routes = table === undefined ? routeList(pod.rtnl, { table: 'all' }) : [];
  const own = routes.filter((route) => leadsThrough(route, link.ifIndex));
  for (const source of sources) {
    const { ip } = source.address;
    const rule = rules.find(({ src }) => compareIp(src.ip, ip) === 0);
    if (rule === undefined) {
      throw checkFailure(`rule for source ${formatIp(ip)} to ${table ?? 'a table of its own'} is missing`);
    }
    if (table === undefined) checkDefault(own, source, rule.table);
  }
  if (table === undefined && addSourceHints) checkHints(own, sources);
}

function checkDefault(routes: readonly Route[], { address, gateway }: Source, table: number): void {
  const { family } = address.ip;
  if (gateway === undefined) return;
  if (routes.some((route) => route.table === table && route.family === family && route.dst === undefined))
    return;
  throw checkFailure(`default route of ${formatIp(address.ip)} is missing in table ${table}`);
}

function checkHints(routes: readonly Route[], sources: readonly Source[]): void {
  for (const { dst, src } of sourceHints(sources)) {
    const text = formatCidr(dst!);
    const isThere = routes.some(
      (route) =>
        route.table === MAIN_TABLE &&
        route.dst !== undefined &&
        formatCidr(route.dst) === text &&
        route.src?.value === src!.value,
    );
    if (!isThere) throw checkFailure(`route to ${text} with source ${formatIp(src!)} is missing`);
  }
}
