import { formatIp, type IpFamily, parseCidr } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { createIpam } from '../ipam/ipam.ts';
import type { IpPool } from '../resources/ip-pool.ts';
import type { Node } from '../resources/node.ts';
import { getResource, updateResource } from '../resources/resource-store.ts';
import type { BgpFacts } from './bgp-facts.ts';
import { usesIpip, usesVxlan } from './wanted-cluster.ts';

type Tunnel = 'vxlan' | 'vxlan-v6' | 'ipip';

/**
 * Gives this node the addresses on tunnels that its pools need and it has not got, and writes them into its Node.
 * @returns true when something was written: the watch will tell of it
 * @throws FabricError `no-pool`, `no-free-address`, `conflict`, those of the datastore
 */
export async function ensureTunnelAddresses(
  store: Datastore,
  { nodeName, nodes, pools }: BgpFacts,
  signal: AbortSignal,
): Promise<boolean> {
  const node = nodes.find(({ metadata }) => metadata.name === nodeName);
  if (node === undefined) return false;
  const missing = missingTunnels(node, pools);
  if (missing.length === 0) return false;
  const current = await getResource(store, 'Node', { name: nodeName, signal });
  if (current === undefined) return false;
  const ipam = createIpam({ store, node: nodeName });
  let next = current;
  for (const tunnel of missingTunnels(current, pools)) {
    const family: IpFamily = tunnel === 'vxlan-v6' ? 6 : 4;
    const handleId = `${tunnel === 'ipip' ? 'ipip' : tunnel === 'vxlan' ? 'vxlan' : 'vxlan-v6'}-tunnel-addr-${nodeName}`;
    // Of a try before, whose address was not written down.
    await ipam.releaseHandle(handleId, { signal });
    const wish = { count: 1, pools: poolsOf(tunnel, pools) };
    const [ip] = await ipam.allocate({
      owner: {
        handleId,
        attributes: { node: nodeName, type: `${tunnel.replace('-v6', 'V6')}TunnelAddress` },
      },
      ...(family === 4 ? { ipv4: wish } : { ipv6: wish }),
      use: 'Tunnel',
      signal,
    });
    next = withAddress(next, tunnel, formatIp(ip!));
  }
  await updateResource(store, next, { signal });
  return true;
}

function missingTunnels({ spec }: Node, pools: readonly IpPool[]): Tunnel[] {
  const { bgp, ipv4VXLANTunnelAddr, ipv6VXLANTunnelAddr } = spec;
  return [
    ...(usesVxlan(pools, 4) && bgp?.ipv4Address !== undefined && ipv4VXLANTunnelAddr === undefined
      ? (['vxlan'] as const)
      : []),
    ...(usesVxlan(pools, 6) && bgp?.ipv6Address !== undefined && ipv6VXLANTunnelAddr === undefined
      ? (['vxlan-v6'] as const)
      : []),
    ...(usesIpip(pools) && bgp?.ipv4Address !== undefined && bgp.ipv4IPIPTunnelAddr === undefined
      ? (['ipip'] as const)
      : []),
  ];
}

/** Names of the pools that the tunnel is for. */
function poolsOf(tunnel: Tunnel, pools: readonly IpPool[]): string[] {
  return pools.flatMap((pool) => {
    const family = parseCidr(pool.spec.cidr).ip.family;
    const fits = tunnel === 'ipip' ? usesIpip([pool]) : usesVxlan([pool], tunnel === 'vxlan' ? 4 : 6);
    return fits && pool.spec.disabled !== true && (family === 6) === (tunnel === 'vxlan-v6')
      ? pool.metadata.name
      : [];
  });
}

function withAddress(node: Node, tunnel: Tunnel, ip: string): Node {
  switch (tunnel) {
    case 'vxlan':
      return { ...node, spec: { ...node.spec, ipv4VXLANTunnelAddr: ip } };
    case 'vxlan-v6':
      return { ...node, spec: { ...node.spec, ipv6VXLANTunnelAddr: ip } };
    case 'ipip':
      return { ...node, spec: { ...node.spec, bgp: { ...node.spec.bgp, ipv4IPIPTunnelAddr: ip } } };
  }
}
