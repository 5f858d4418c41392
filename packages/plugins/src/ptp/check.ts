import type { PluginRequest } from '@amphipod/cni';
import { type Cidr, formatCidr, type Rtnl, routeList } from '@amphipod/netlink';
import {
  checkFailure,
  checkGateways,
  checkHostEnd,
  checkPodInterface,
  findPodInterface,
} from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { checkIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { readConfig } from './config.ts';
import { gatewaysOf, hostRoute, podAddressesOf, podRoutes } from './pod-routes.ts';

/** Compares pair, addresses, routes on both sides and masquerading with the result of ADD. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const { ipMasq } = readConfig(request);
  await ipamCall(request, 'CHECK');
  const prevResult = requirePrevResult(request, 'ptp: Required prevResult missing');
  const podInterface = findPodInterface(prevResult, request);
  using pod = host.openPod(request.netns);
  const podLink = checkPodInterface(pod, prevResult, podInterface);
  const hostEnd = checkHostEnd(host.rtnl, podLink, prevResult);
  const addresses = podAddressesOf(prevResult);
  // Plugins after this one, sbr and vrf, move the pod's routes to another table.
  const inPod: Place = { ifIndex: podLink.ifIndex, name: podLink.name, table: 'all' };
  checkRoutes(pod.rtnl, inPod, podRoutes(addresses));
  checkRoutes(host.rtnl, hostEnd, addresses.map(hostRoute));
  checkGateways(host.rtnl, hostEnd, gatewaysOf(addresses));
  await checkIpMasq(
    host,
    ipMasq,
    ownerOf(request),
    addresses.map(({ address }) => address),
  );
}

interface Place {
  ifIndex: number;
  name: string;
  /** The main table unless given. */
  table?: 'all';
}

function checkRoutes(rtnl: Rtnl, { ifIndex, name, table }: Place, wanted: readonly { dst?: Cidr }[]): void {
  const present = new Set(
    routeList(rtnl, { ifIndex, ...(table !== undefined && { table }) }).flatMap(({ dst }) =>
      dst === undefined ? [] : [formatCidr(dst)],
    ),
  );
  for (const { dst } of wanted) {
    if (dst !== undefined && !present.has(formatCidr(dst))) {
      throw checkFailure(`Expected Route ${formatCidr(dst)} of interface ${name} not found in routing table`);
    }
  }
}
