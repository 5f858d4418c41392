import type { Result } from '@amphipod/cni';
import {
  linkGet,
  openRtnlIn,
  parseIp,
  type Route,
  routeDel,
  routeList,
  routeReplace,
} from '@amphipod/netlink';
import type { RuntimeContext } from '../../context.ts';
import type { FurtherNetwork, Sandbox } from '../../store/records.ts';
import { attachmentOf } from '../network.ts';
import { sandboxPaths } from '../paths.ts';
import { furtherAttachment } from './attach.ts';

/**
 * Leads the pod's default routes through the gateways that the pod named for this network, and takes away those of the other networks,
 * from their results too: CHECK goes by them. @throws NetlinkError when a gateway cannot be reached
 */
export function leadDefaultRoutes(context: RuntimeContext, sandbox: Sandbox, further: FurtherNetwork): void {
  const gateways = (further.defaultRoute ?? []).map(parseIp);
  const families = new Set(gateways.map(({ family }) => family));
  using rtnl = openRtnlIn(sandboxPaths(context.config, sandbox.id).net);
  const { ifIndex } = linkGet(rtnl, further.ifName);
  for (const family of families) {
    for (const route of routeList(rtnl, { family }).filter(isDefault)) {
      if (route.ifIndex !== ifIndex) routeDel(rtnl, route);
    }
  }
  for (const gateway of gateways) routeReplace(rtnl, { ifIndex, gateway, family: gateway.family });
  changeResults(context, sandbox, { further, families });
}

function isDefault({ dst, type, table }: Route): boolean {
  return (
    (dst === undefined || dst.prefix === 0) && (type ?? 'unicast') === 'unicast' && (table ?? 254) === 254
  );
}

function changeResults(
  context: RuntimeContext,
  sandbox: Sandbox,
  { further, families }: { further: FurtherNetwork; families: ReadonlySet<number> },
): void {
  const isLed = ({ dst }: { dst: string }) =>
    (dst === '0.0.0.0/0' && families.has(4)) || (dst === '::/0' && families.has(6));
  const without = (result: Result): Result => ({
    ...result,
    ...(result.routes !== undefined && { routes: result.routes.filter((route) => !isLed(route)) }),
  });
  const { cni } = context;
  if (sandbox.network !== undefined) {
    cni.changeCachedResult(sandbox.network, attachmentOf(context, sandbox), without);
  }
  for (const other of sandbox.furtherNetworks ?? []) {
    const isThis = other.ifName === further.ifName;
    cni.changeCachedResult(other.network, furtherAttachment(context, sandbox, other), (result) =>
      isThis ? withGateways(without(result), further) : without(result),
    );
  }
}

function withGateways(result: Result, { defaultRoute = [] }: FurtherNetwork): Result {
  const led = defaultRoute.map((gw) => ({ dst: gw.includes(':') ? '::/0' : '0.0.0.0/0', gw }));
  return { ...result, routes: [...(result.routes ?? []), ...led] };
}
