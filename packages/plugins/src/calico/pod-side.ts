import type { Result, ResultRoute } from '@amphipod/cni';
import {
  type Cidr,
  cidrOf,
  formatCidr,
  formatIp,
  type IpFamily,
  neighReplace,
  parseCidr,
  parseIp,
} from '@amphipod/netlink';
import { configureInterface } from '../lib/configure-interface.ts';
import type { Pod } from '../lib/host.ts';
import { ensureSysctl } from '../lib/settings.ts';
import type { CalicoConfig } from './config.ts';
import { HOST_MAC, IPV6_NEXT_HOP } from './host-side.ts';

/** Nobody has it: the host answers for it by proxy ARP. */
const IPV4_NEXT_HOP = parseIp('169.254.1.1');
const DEFAULT_ROUTES = ['0.0.0.0/0', '::/0'];

/** The pod's routes: everything goes by way of the host. */
export function podRoutes(
  { routes, includeDefaultRoutes }: CalicoConfig,
  addresses: readonly Cidr[],
): ResultRoute[] {
  const wanted =
    routes.length === 0 ? DEFAULT_ROUTES : [...(includeDefaultRoutes ? DEFAULT_ROUTES : []), ...routes];
  const families = new Set(addresses.map(({ ip }) => ip.family));
  return [...new Set(wanted.map((dst) => formatCidr(parseCidr(dst))))]
    .filter((dst) => families.has(parseCidr(dst).ip.family))
    .map((dst) => ({ dst, gw: nextHop(parseCidr(dst).ip.family) }));
}

function nextHop(family: IpFamily): string {
  return formatIp(family === 4 ? IPV4_NEXT_HOP : IPV6_NEXT_HOP.ip);
}

/** Addresses, routes and settings of the pod. */
export async function setUpPod(
  pod: Pod,
  {
    addresses,
    routes,
    ifIndex,
    ifName,
  }: { addresses: readonly Cidr[]; routes: ResultRoute[]; ifIndex: number; ifName: string },
  { allowIpForwarding }: CalicoConfig,
): Promise<void> {
  const hasIpv4 = addresses.some(({ ip }) => ip.family === 4);
  const hasIpv6 = addresses.some(({ ip }) => ip.family === 6);
  const result: Result = { ips: addresses.map((cidr) => ({ address: formatCidr(cidr) })), routes };
  await configureInterface(pod, result, {
    ifIndex,
    ifName,
    enableDad: false,
    connectedRoutes: hasIpv4 ? [{ dst: cidrOf(IPV4_NEXT_HOP), scope: 'link' }] : [],
  });
  // Proxy ARP answers only on a machine that has a way to 169.254.1.1, a default route say. The pod need not ask.
  if (hasIpv4) neighReplace(pod.rtnl, { ifIndex, ip: IPV4_NEXT_HOP, mac: HOST_MAC, state: 'permanent' });
  const forwarding = allowIpForwarding ? '1' : '0';
  pod.run<void>(() => {
    if (hasIpv4) ensureSysctl('net/ipv4/ip_forward', forwarding);
    if (hasIpv6) ensureSysctl('net/ipv6/conf/all/forwarding', forwarding);
  });
}
