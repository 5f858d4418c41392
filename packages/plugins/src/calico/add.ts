import type { PluginRequest, Result } from '@amphipod/cni';
import type { WorkloadEndpoint } from '@amphipod/fabric/client';
import { formatCidr } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { refuseIfTaken } from '../lib/link-in-pod.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { enableForwarding } from '../lib/settings.ts';
import { untilUp } from '../lib/until-up.ts';
import { withUndo } from '../lib/with-undo.ts';
import { getAddresses } from './addresses.ts';
import { findEndpoints, writeEndpoint } from './endpoint.ts';
import { withCalicoErrors } from './errors.ts';
import { addHostRoutes, createCaliVeth, HOST_MAC, setUpHostEnd } from './host-side.ts';
import { podRoutes, setUpPod } from './pod-side.ts';
import { readWishes } from './read-wishes.ts';
import { assertReady, openSession } from './session.ts';
import { hostVethName, readWorkload } from './workload.ts';

/** A pair of interfaces between host and pod, addresses that are routed one by one, and the pod's WorkloadEndpoint. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  return await withCalicoErrors(async () => {
    const session = await openSession(request, host);
    const workload = readWorkload(request, session.node);
    const { signal } = request;
    const [endpoints, { config, facts, wishes }] = await Promise.all([
      findEndpoints(session, workload, signal),
      readWishes(request, host, session),
      assertReady(session, signal),
    ]);
    const own = endpoints.find(({ spec }) => spec.containerID === request.containerID);
    // A second interface for the same pod: Calico gives it one only, whatever it is called.
    if (own !== undefined && own.spec.endpoint !== request.ifName) return resultOf(own, request);
    using pod = host.openPod(request.netns);
    // Before IPAM: a second ADD fails here, with nothing to undo that belongs to the first (field case CNI-03).
    refuseIfTaken(pod, request.ifName);
    const { mtu, queues, ipamType } = config;
    return await withUndo(async (undo) => {
      const addresses = await getAddresses(request, wishes, { ipamType, facts, undo });
      const name = hostVethName(workload);
      const veth = await createCaliVeth(host.rtnl, pod, undo, {
        owner: ownerOf(request),
        name,
        isNameOfPod: workload.orchestrator === 'k8s',
        mtu,
        queues,
        mac: wishes.mac,
      });
      enableForwarding(addresses);
      setUpHostEnd(host.rtnl, veth.host, addresses);
      const { ifIndex, mac } = veth.pod;
      const routes = podRoutes(config, addresses);
      await setUpPod(pod, { addresses, routes, ifIndex, ifName: request.ifName }, config);
      addHostRoutes(host.rtnl, veth.host, addresses);
      await untilUp(host.rtnl, veth.host, 'host interface');
      const what = { workload, facts, wishes, addresses, interfaceName: name, mac };
      const older = endpoints.find(({ spec }) => spec.endpoint === request.ifName);
      await writeEndpoint(request, session, undo, { what, older });
      return {
        interfaces: [
          { name, mac: HOST_MAC },
          { name: request.ifName, mac, sandbox: request.netns },
        ],
        ips: addresses.map((cidr) => ({ address: formatCidr(cidr), interface: 1 })),
        routes,
      };
    });
  });
}

/** What the ADD gave that wrote this endpoint. */
function resultOf({ spec }: WorkloadEndpoint, { netns }: PluginRequest): Result {
  return {
    interfaces: [
      { name: spec.interfaceName!, mac: HOST_MAC },
      { name: spec.endpoint!, ...(spec.mac !== undefined && { mac: spec.mac }), sandbox: netns },
    ],
    ips: (spec.ipNetworks ?? []).map((address) => ({ address, interface: 1 })),
  };
}
