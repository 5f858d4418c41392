import type { PluginRequest } from '@amphipod/cni';
import { sysctlGet } from '@amphipod/linux';
import { formatCidr, type Link, parseCidr, type Rtnl, routeList } from '@amphipod/netlink';
import { checkFailure, checkHostEnd, checkPodInterface, findPodInterface } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { findEndpoints } from './endpoint.ts';
import { withCalicoErrors } from './errors.ts';
import { readWishes } from './read-wishes.ts';
import { type CalicoSession, openSession } from './session.ts';
import { readWorkload } from './workload.ts';

/** Compares pair, addresses, routes on both sides, settings and endpoint with the result of ADD. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  await withCalicoErrors(async () => {
    const session = await openSession(request, host);
    const { wishes } = await readWishes(request, host, session);
    // Addresses that are of no pool are nothing that IPAM knows of.
    if (wishes.ipsNoIpam.length === 0) await ipamCall(request, 'CHECK');
    const prevResult = requirePrevResult(request);
    const podInterface = findPodInterface(prevResult, request);
    using pod = host.openPod(request.netns);
    const podLink = checkPodInterface(pod, prevResult, podInterface);
    const hostEnd = checkHostEnd(host.rtnl, podLink, prevResult);
    const addresses = (prevResult.ips ?? []).map(({ address }) => formatCidr(parseCidr(address)));
    checkRoutes(host.rtnl, hostEnd, addresses);
    checkSettings(hostEnd, addresses);
    await checkEndpoint(request, session, addresses);
  });
}

function checkRoutes(rtnl: Rtnl, { ifIndex, name }: Link, addresses: readonly string[]): void {
  const present = new Set(routeList(rtnl, { ifIndex }).flatMap(({ dst }) => (dst ? [formatCidr(dst)] : [])));
  for (const address of addresses) {
    if (!present.has(address))
      throw checkFailure(`Expected Route ${address} of interface ${name} not found in routing table`);
  }
}

function checkSettings({ name }: Link, addresses: readonly string[]): void {
  const isIpv6 = (address: string) => address.includes(':');
  const wanted = [
    ...(addresses.every(isIpv6) ? [] : ['net/ipv4/conf/NAME/proxy_arp', 'net/ipv4/conf/NAME/forwarding']),
    ...(addresses.some(isIpv6) ? ['net/ipv6/conf/NAME/proxy_ndp', 'net/ipv6/conf/NAME/forwarding'] : []),
  ];
  for (const key of wanted.map((one) => one.replace('NAME', name))) {
    if (sysctlGet(key) !== '1') throw checkFailure(`kernel setting ${key} is ${sysctlGet(key)}, not 1`);
  }
}

async function checkEndpoint(
  request: PluginRequest,
  session: CalicoSession,
  addresses: readonly string[],
): Promise<void> {
  const endpoints = await findEndpoints(session, readWorkload(request, session.node), request.signal);
  const own = endpoints.find(({ spec }) => spec.containerID === request.containerID);
  if (own === undefined) throw checkFailure('there is no WorkloadEndpoint of this container');
  const known = new Set(own.spec.ipNetworks);
  const missing = addresses.find((address) => !known.has(address));
  if (missing === undefined) return;
  throw checkFailure(
    `WorkloadEndpoint ${JSON.stringify(own.metadata.name)} does not have address ${missing}`,
  );
}
