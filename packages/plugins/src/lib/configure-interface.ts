import { setTimeout as sleep } from 'node:timers/promises';
import { CniError, type Result } from '@amphipod/cni';
import {
  type AddressOptions,
  addrAddRequest,
  addrList,
  broadcastOf,
  type Cidr,
  type IpAddress,
  linkSetRequest,
  type NetlinkRequest,
  parseCidr,
  parseIp,
  type RouteSpec,
  type Rtnl,
  routeAddRequest,
  routeAppendRequest,
} from '@amphipod/netlink';
import type { Pod } from './host.ts';
import { trySysctl } from './settings.ts';

const DAD_WAIT_MS = 5000;
const DAD_STEP_MS = 20;

export interface InterfaceOptions {
  ifIndex: number;
  ifName: string;
  /** Duplicate address detection for IPv6: ADD waits until it is over. */
  enableDad: boolean;
  /** Instead of the kernel's own routes to the networks of the addresses; they come before those of the result. */
  connectedRoutes?: readonly RouteSpec[];
}

/** Gives the pod's interface its addresses and routes and brings it up. IPv6 settings are only touched for IPv6 addresses. */
export async function configureInterface(
  pod: Pod,
  { ips = [], routes = [] }: Result,
  { ifIndex, ifName, enableDad, connectedRoutes }: InterfaceOptions,
): Promise<void> {
  const addresses = ips.map(({ address }) => parseCidr(address));
  const hasIpv6 = addresses.some(({ ip }) => ip.family === 6);
  if (hasIpv6) pod.run<void>(() => prepareIpv6(ifName, enableDad));
  const hasToWait = hasIpv6 && enableDad;
  const link = [
    // Before the link comes up, which is what neighbours are told of; alone with the host there are none.
    ...(connectedRoutes === undefined ? [linkSetRequest(ifIndex, { ipv4: { arpNotify: true } })] : []),
    ...addresses.map((cidr) => addrAddRequest(ifIndex, cidr, addressOptions(cidr))),
    linkSetRequest(ifIndex, { up: true }),
  ];
  const rest = [
    ...(connectedRoutes ?? []).map((route) => routeAddRequest({ ...route, ifIndex })),
    ...routes.map((route) => routeRequest(route, ips, ifIndex)),
  ];
  if (hasToWait) {
    pod.rtnl.executeAll(link);
    await settle(pod.rtnl, ifIndex);
    pod.rtnl.executeAll(rest);
  } else pod.rtnl.executeAll([...link, ...rest]);

  function addressOptions(cidr: Cidr): AddressOptions {
    const noPrefixRoute = connectedRoutes !== undefined;
    return cidr.ip.family === 4
      ? { broadcast: broadcastOf(cidr), noPrefixRoute }
      : { noDad: !enableDad, noPrefixRoute };
  }
}

type ResultRoute = NonNullable<Result['routes']>[number];
type ResultIps = NonNullable<Result['ips']>;

function routeRequest(
  { dst, gw, priority, table, scope }: ResultRoute,
  ips: ResultIps,
  ifIndex: number,
): NetlinkRequest {
  const cidr = parseCidr(dst);
  const gateway = gw === undefined ? gatewayOf(ips, cidr.ip) : parseIp(gw);
  return routeAppendRequest({
    ifIndex,
    dst: cidr,
    ...(gateway !== undefined && { gateway }),
    ...(priority !== undefined && { priority }),
    ...(table !== undefined && { table }),
    ...(scope !== undefined && { scope }),
  });
}

function prepareIpv6(ifName: string, enableDad: boolean): void {
  trySysctl('net/ipv6/conf/lo/disable_ipv6', '0');
  trySysctl(`net/ipv6/conf/${ifName}/disable_ipv6`, '0');
  trySysctl(`net/ipv6/conf/${ifName}/keep_addr_on_down`, '1');
  if (enableDad) trySysctl(`net/ipv6/conf/${ifName}/enhanced_dad`, '1');
  trySysctl(`net/ipv6/conf/${ifName}/accept_dad`, enableDad ? '1' : '0');
}

/** The first gateway of the family. */
function gatewayOf(ips: ResultIps, { family }: IpAddress): IpAddress | undefined {
  return ips
    .map(({ gateway }) => (gateway === undefined ? undefined : parseIp(gateway)))
    .find((gateway) => gateway?.family === family);
}

/** Waits for the end of IPv6 duplicate address detection. @throws CniError when another machine has an address, or after 5 s */
export async function settle(rtnl: Rtnl, ifIndex: number): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += DAD_STEP_MS) {
    const addresses = addrList(rtnl, { ifIndex, family: 6 });
    if (addresses.some(({ flags }) => flags.dadFailed)) {
      throw new CniError(
        'internal',
        'IPv6 address is in use by another machine (duplicate address detection)',
      );
    }
    if (!addresses.some(({ flags }) => flags.tentative)) return;
    if (waitedMs >= DAD_WAIT_MS) {
      throw new CniError('internal', `IPv6 address still tentative after ${DAD_WAIT_MS / 1000} seconds`);
    }
    await sleep(DAD_STEP_MS);
  }
}
