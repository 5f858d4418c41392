import { setTimeout as sleep } from 'node:timers/promises';
import { CniError, type Result } from '@amphipod/cni';
import {
  addrAdd,
  addrList,
  broadcastOf,
  type IpAddress,
  linkSet,
  parseCidr,
  parseIp,
  routeAppend,
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
}

/** Gives the pod's interface its addresses and routes and brings it up. IPv6 settings are only touched for IPv6 addresses. */
export async function configureInterface(
  pod: Pod,
  { ips = [], routes = [] }: Result,
  { ifIndex, ifName, enableDad }: InterfaceOptions,
): Promise<void> {
  const addresses = ips.map(({ address }) => parseCidr(address));
  const hasIpv6 = addresses.some(({ ip }) => ip.family === 6);
  pod.run<void>(() => {
    trySysctl(`net/ipv4/conf/${ifName}/arp_notify`, '1');
    if (hasIpv6) prepareIpv6(ifName, enableDad);
  });
  for (const cidr of addresses) {
    const options = cidr.ip.family === 4 ? { broadcast: broadcastOf(cidr) } : { noDad: !enableDad };
    addrAdd(pod.rtnl, ifIndex, cidr, options);
  }
  linkSet(pod.rtnl, ifIndex, { up: true });
  if (hasIpv6 && enableDad) await settle(pod, ifIndex);
  for (const { dst, gw, priority, table, scope } of routes) {
    const cidr = parseCidr(dst);
    const gateway = gw === undefined ? gatewayOf(ips, cidr.ip) : parseIp(gw);
    routeAppend(pod.rtnl, {
      ifIndex,
      dst: cidr,
      ...(gateway !== undefined && { gateway }),
      ...(priority !== undefined && { priority }),
      ...(table !== undefined && { table }),
      ...(scope !== undefined && { scope }),
    });
  }
}

function prepareIpv6(ifName: string, enableDad: boolean): void {
  trySysctl('net/ipv6/conf/lo/disable_ipv6', '0');
  trySysctl(`net/ipv6/conf/${ifName}/disable_ipv6`, '0');
  trySysctl(`net/ipv6/conf/${ifName}/keep_addr_on_down`, '1');
  if (enableDad) trySysctl(`net/ipv6/conf/${ifName}/enhanced_dad`, '1');
  trySysctl(`net/ipv6/conf/${ifName}/accept_dad`, enableDad ? '1' : '0');
}

/** The first gateway of the family. */
function gatewayOf(ips: NonNullable<Result['ips']>, { family }: IpAddress): IpAddress | undefined {
  return ips
    .map(({ gateway }) => (gateway === undefined ? undefined : parseIp(gateway)))
    .find((gateway) => gateway?.family === family);
}

async function settle(pod: Pod, ifIndex: number): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += DAD_STEP_MS) {
    const addresses = addrList(pod.rtnl, { ifIndex, family: 6 });
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
