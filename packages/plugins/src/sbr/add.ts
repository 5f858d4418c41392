import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import {
  cidrOf,
  formatCidr,
  formatIp,
  type Link,
  linkFind,
  networkOf,
  type RouteSpec,
  type Rtnl,
  routeAppend,
  routeDel,
  routeList,
  ruleAdd,
  ruleDel,
} from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { lockNetns } from '../lib/lock-netns.ts';
import { MAIN_TABLE, takeTable, usedTables } from '../lib/route-tables.ts';
import { withUndo } from '../lib/with-undo.ts';
import { readConfig, type SbrConfig } from './config.ts';
import { movableRoutes, replacedBy, sourceHints, tableRoutes } from './routes.ts';
import { FIRST_TABLE } from './source-rule.ts';
import { requireChained, type Source, sourcesOf } from './sources.ts';

/** What has one of the interface's addresses as its source is routed by a table of that address. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  const prevResult = requireChained(request);
  const sources = sourcesOf(prevResult, request.ifName, config.gateways);
  if (sources.length === 0) return prevResult;
  using pod = host.openPod(request.netns);
  const { rtnl } = pod;
  return await withUndo(async (undo) => {
    if (config.table === undefined) {
      using _lock = await lockNetns(request.netns, request.signal);
      separate(rtnl, undo, { link: findLink(rtnl, request.ifName), sources, config });
    } else {
      for (const source of sources) addRule(rtnl, undo, source, config.table);
    }
    return prevResult;
  });
}

interface Separation {
  link: Link;
  sources: readonly Source[];
  config: SbrConfig;
}

/** Copies the interface's routes to a table for each address, and only then takes them out of the main table. */
function separate(rtnl: Rtnl, undo: UndoStack, { link, sources, config }: Separation): void {
  const { ifIndex } = link;
  const routes = routeList(rtnl, { table: 'all' });
  const used = usedTables(rtnl, routes);
  const moving = movableRoutes(routes, ifIndex);
  for (const source of sources) {
    const table = takeTable(used, FIRST_TABLE);
    for (const route of tableRoutes(moving, source)) addRoute(rtnl, undo, { ...route, ifIndex, table });
    addRule(rtnl, undo, source, table);
  }
  const hints = config.addSourceHints ? sourceHints(sources) : [];
  const leaving = config.addSourceHints ? replacedBy(moving, hints) : moving;
  // Gateways go before the routes by which they are reached, so that undoing comes the other way round.
  for (const route of leaving.toReversed()) removeRoute(rtnl, undo, route);
  for (const hint of hints) addRoute(rtnl, undo, { ...hint, ifIndex, table: MAIN_TABLE });
}

function findLink(rtnl: Rtnl, ifName: string): Link {
  const link = linkFind(rtnl, ifName);
  if (link !== undefined) return link;
  throw new CniError('internal', `Cannot find network interface ${ifName}: Link not found`);
}

/** `ip rule add from IP table TABLE`, at a priority of the kernel's choice. */
function addRule(rtnl: Rtnl, undo: UndoStack, { address: { ip } }: Source, table: number): void {
  const rule = { family: ip.family, src: cidrOf(ip), table };
  let isMade = false;
  undo.defer(`remove rule from ${formatIp(ip)}`, () => {
    if (isMade) ruleDel(rtnl, rule);
  });
  ruleAdd(rtnl, rule);
  isMade = true;
}

function addRoute(rtnl: Rtnl, undo: UndoStack, route: RouteSpec): void {
  let isMade = false;
  undo.defer(`remove route ${describe(route)}`, () => {
    if (isMade) routeDel(rtnl, route);
  });
  routeAppend(rtnl, route);
  isMade = true;
}

function removeRoute(rtnl: Rtnl, undo: UndoStack, route: RouteSpec): void {
  let isRemoved = false;
  undo.defer(`restore route ${describe(route)}`, () => {
    if (isRemoved) routeAppend(rtnl, route);
  });
  isRemoved = routeDel(rtnl, route);
}

function describe({ dst, table }: RouteSpec): string {
  return `${dst === undefined ? 'default' : formatCidr(networkOf(dst))} of table ${table}`;
}
