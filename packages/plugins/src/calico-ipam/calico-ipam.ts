import { CniError, type Plugin, type PluginRequest, type Result, specVersions } from '@amphipod/cni';
import { cidrOf, formatCidr, formatIp, type IpAddress, tryParseCidr } from '@amphipod/netlink';
import { withCalicoErrors, withStatusErrors } from '../calico/errors.ts';
import { assertReady, type CalicoSession, openSession } from '../calico/session.ts';
import { handleOf, readWorkload } from '../calico/workload.ts';
import type { PluginHost } from '../lib/host.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { type CalicoIpamConfig, readConfig } from './config.ts';
import { gc } from './gc.ts';

/** Gives out addresses of Calico's pools; docs/plugins/calico-ipam.md */
export const calicoIpam: Plugin<PluginHost> = {
  type: 'calico-ipam',
  about: 'CNI calico-ipam plugin of Amphipod',
  versions: specVersions,
  add: (request, host) => withCalicoErrors(() => add(request, host)),
  async del(request, host) {
    const { config, containerID, signal } = request;
    await withCalicoErrors(async () => {
      const { ipam } = await openSession(request, host);
      await ipam.releaseHandle(handleOf(config.name, containerID), { signal });
    });
  },
  async check(request, host) {
    await withCalicoErrors(() => check(request, host));
  },
  async status(request, host) {
    const config = readConfig(request);
    await withStatusErrors(async () => {
      const session = await openSession(request, host);
      await assertReady(session, request.signal);
      await session.ipam.assertFree({ ...wishes(config), signal: request.signal });
    });
  },
  gc,
};

async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  const session = await openSession(request, host);
  const ips = await take(request, config, session);
  // A pod of a routed network is alone in its subnet.
  const addresses = ips.map((ip) => formatCidr(cidrOf(ip)));
  return { ips: addresses.map((address) => ({ address })), routes: addresses.map((dst) => ({ dst })) };
}

async function take(
  request: PluginRequest,
  config: CalicoIpamConfig,
  { ipam, node }: CalicoSession,
): Promise<readonly IpAddress[]> {
  const { signal, containerID } = request;
  const { pod, namespace } = readWorkload(request, node);
  const attributes = {
    node,
    timestamp: new Date().toISOString(),
    ...(pod !== undefined && { pod, namespace }),
  };
  const owner = { handleId: handleOf(request.config.name, containerID), attributes };
  const { requested, namespaceLabels } = config;
  if (requested.length === 0) {
    return await ipam.allocate({ owner, ...wishes(config), namespaceLabels, signal });
  }
  await ipam.assign({ owner, ips: requested, signal });
  return requested;
}

function wishes({ hasIpv4, hasIpv6, ipv4Pools, ipv6Pools }: CalicoIpamConfig) {
  return {
    ...(hasIpv4 && { ipv4: { count: 1, pools: ipv4Pools } }),
    ...(hasIpv6 && { ipv6: { count: 1, pools: ipv6Pools } }),
  };
}

async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const { ips = [] } = requirePrevResult(request);
  const { ipam } = await openSession(request, host);
  const handleId = handleOf(request.config.name, request.containerID);
  const held = new Set((await ipam.addressesOf(handleId, { signal: request.signal })).map(formatIp));
  for (const { address } of ips) {
    const ip = tryParseCidr(address)?.ip;
    if (ip !== undefined && held.has(formatIp(ip))) continue;
    throw new CniError(
      'plugin-specific',
      `address ${address} is not allocated to handle ${JSON.stringify(handleId)}`,
    );
  }
}
