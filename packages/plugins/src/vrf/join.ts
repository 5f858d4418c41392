import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import {
  type Address,
  addrAdd,
  addrList,
  formatCidr,
  type Link,
  linkFind,
  linkSet,
  networkOf,
  type Route,
  RT_SCOPE,
  RTPROT,
  type Rtnl,
  routeAppend,
  routeList,
} from '@amphipod/netlink';
import { settle } from '../lib/configure-interface.ts';
import { directFirst, leadsThrough, MAIN_TABLE } from '../lib/route-tables.ts';
import type { Vrf } from './ensure-vrf.ts';

/** What of a link's configuration does not outlive the change of its master. */
interface Kept {
  /** Global IPv6 addresses. */
  addresses: Address[];
  /** Routes of the main table that the kernel did not make itself, direct ones first. */
  routes: Route[];
  /** Networks of which the kernel made the route. */
  connected: ReadonlySet<string>;
  /** Up, with a carrier: without one, duplicate address detection does not come to an end. */
  isLive: boolean;
}

/**
 * `ip link set IFNAME master VRF`, with IPv6 addresses and routes kept: the kernel takes the link down and up again, in which
 * it loses both.
 */
export async function joinVrf(
  rtnl: Rtnl,
  undo: UndoStack,
  ifName: string,
  { link: vrf, table }: Vrf,
): Promise<void> {
  const link = linkFind(rtnl, ifName);
  if (link === undefined) throw new CniError('internal', `could not get link by name ${ifName}`);
  refuseMaster(rtnl, link);
  const { ifIndex } = link;
  const kept = readKept(rtnl, link);
  let hasJoined = false;
  undo.defer(`take ${ifName} out of vrf ${vrf.name}`, async () => {
    if (!hasJoined) return;
    linkSet(rtnl, ifIndex, { masterIndex: 0 });
    await restore(rtnl, ifIndex, kept, MAIN_TABLE);
  });
  linkSet(rtnl, ifIndex, { masterIndex: vrf.ifIndex });
  hasJoined = true;
  await restore(rtnl, ifIndex, kept, table);
}

function refuseMaster(rtnl: Rtnl, { name, masterIndex }: Link): void {
  if (masterIndex === undefined || masterIndex === 0) return;
  const master = linkFind(rtnl, masterIndex);
  throw new CniError(
    'internal',
    `interface ${name} has already a master set: ${master?.name ?? masterIndex}`,
  );
}

function readKept(rtnl: Rtnl, { ifIndex, flags }: Link): Kept {
  const addresses = addrList(rtnl, { ifIndex, family: 6 }).filter(({ scope }) => scope === RT_SCOPE.global);
  const routes = routeList(rtnl, { ifIndex }).filter((route) => leadsThrough(route, ifIndex));
  const connected = routes.filter(({ protocol, dst }) => protocol === RTPROT.KERNEL && dst !== undefined);
  return {
    addresses,
    routes: directFirst(routes.filter(({ protocol }) => protocol !== RTPROT.KERNEL)),
    connected: new Set(connected.map(({ dst }) => formatCidr(dst!))),
    isLive: flags.up && flags.lowerUp,
  };
}

async function restore(
  rtnl: Rtnl,
  ifIndex: number,
  { addresses, routes, connected, isLive }: Kept,
  table: number,
): Promise<void> {
  if (addresses.length > 0) {
    // With keep_addr_on_down they are there still.
    const present = new Set(addrList(rtnl, { ifIndex, family: 6 }).map(({ cidr }) => formatCidr(cidr)));
    for (const { cidr } of addresses) {
      if (present.has(formatCidr(cidr))) continue;
      const noPrefixRoute = !connected.has(formatCidr(networkOf(cidr)));
      // Nobody else had it a moment ago.
      addrAdd(rtnl, ifIndex, cidr, { noDad: true, noPrefixRoute });
    }
    if (isLive) await settle(rtnl, ifIndex);
  }
  for (const route of routes) addIfMissing(rtnl, { ...route, table });
}

function addIfMissing(rtnl: Rtnl, route: Route): void {
  try {
    routeAppend(rtnl, route);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  }
}
