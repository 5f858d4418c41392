import type { PluginRequest, Result } from '@amphipod/cni';
import { addrAddRequest, routeAddRequest } from '@amphipod/netlink';
import { configureInterface } from '../lib/configure-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { createVeth, type VethPair } from '../lib/host-veth.ts';
import { addIpMasq } from '../lib/ip-masq.ts';
import { ipamAdd } from '../lib/ipam.ts';
import { ensureLinkLocal } from '../lib/link-local.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { enableForwarding } from '../lib/settings.ts';
import { untilUp } from '../lib/until-up.ts';
import { withUndo } from '../lib/with-undo.ts';
import { readConfig } from './config.ts';
import { gatewaysOf, hostRoute, type PodAddress, podAddressesOf, podRoutes } from './pod-routes.ts';

/** A pair of interfaces between host and pod, with routes so that everything goes through the host. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const { ipamType, mtu, ipMasq, dns } = readConfig(request);
  using pod = host.openPod(request.netns);
  const owner = ownerOf(request);
  return await withUndo(async (undo) => {
    // Before IPAM: a second ADD fails here, with nothing to undo that belongs to the first (field case CNI-03).
    const veth = createVeth(host.rtnl, pod, undo, { owner, mtu, mac: undefined });
    const result = await ipamAdd(request, ipamType, undo);
    const addresses = podAddressesOf(result);
    const cidrs = addresses.map(({ address }) => address);
    enableForwarding(cidrs);
    setUpHostEnd(host, veth, addresses);
    await configureInterface(pod, result, {
      ifIndex: veth.pod.ifIndex,
      ifName: request.ifName,
      enableDad: false,
      connectedRoutes: podRoutes(addresses),
    });
    await untilUp(host.rtnl, veth.host, 'host interface');
    await addIpMasq(host, ipMasq, { owner, addresses: cidrs, undo });
    return describe(request, veth, { ...result, ...(dns !== undefined && { dns }) });
  });
}

/** The gateways and the way to the pod. */
function setUpHostEnd({ rtnl }: PluginHost, { host }: VethPair, addresses: readonly PodAddress[]): void {
  const { ifIndex } = host;
  if (addresses.some(({ gateway }) => gateway.family === 6)) ensureLinkLocal(rtnl, host, host.mac);
  rtnl.executeAll([
    ...gatewaysOf(addresses).map((gateway) =>
      addrAddRequest(ifIndex, gateway, { noDad: gateway.ip.family === 6 }),
    ),
    ...addresses.map((address) => routeAddRequest({ ...hostRoute(address), ifIndex })),
  ]);
}

function describe({ ifName, netns }: PluginRequest, veth: VethPair, result: Result): Result {
  return {
    interfaces: [
      { name: veth.host.name, mac: veth.host.mac },
      { name: ifName, mac: veth.pod.mac, sandbox: netns },
    ],
    ...result,
    ips: result.ips!.map((ip) => ({ ...ip, interface: 1 })),
  };
}
