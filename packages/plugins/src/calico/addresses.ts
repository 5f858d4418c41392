import { CniError, type NetConf, type PluginRequest } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { type Cidr, cidrOf, formatIp, tryParseCidr } from '@amphipod/netlink';
import { ipamAdd } from '../lib/ipam.ts';
import type { PodWishes } from './annotations.ts';
import type { PodFacts } from './pod-facts.ts';

/** The pod's addresses, each alone in its subnet; undoing gives them back. */
export async function getAddresses(
  request: PluginRequest,
  wishes: PodWishes,
  { ipamType, facts, undo }: { ipamType: string; facts: PodFacts | undefined; undo: UndoStack },
): Promise<Cidr[]> {
  if (wishes.ipsNoIpam.length > 0) return wishes.ipsNoIpam.map((ip) => cidrOf(ip));
  const own = ipamConfig(request.config, wishes, facts);
  const { ips = [] } = await ipamAdd(request, ipamType, undo, own);
  return ips.map(({ address }) => {
    const cidr = tryParseCidr(address);
    if (cidr === undefined)
      throw new CniError('internal', `IPAM plugin returned address ${JSON.stringify(address)}`);
    return cidrOf(cidr.ip);
  });
}

/** The configuration that IPAM gets: what the pod's annotations ask for beats what the network has for all. */
function ipamConfig(
  config: NetConf,
  { ips, ipv4Pools, ipv6Pools, families }: PodWishes,
  facts: PodFacts | undefined,
): NetConf {
  return {
    ...config,
    ipam: {
      ...config.ipam!,
      ...(facts !== undefined && { namespaceLabels: { ...facts.namespaceLabels } }),
      ...(ipv4Pools !== undefined && { ipv4_pools: [...ipv4Pools] }),
      ...(ipv6Pools !== undefined && { ipv6_pools: [...ipv6Pools] }),
      ...(families !== undefined && {
        assign_ipv4: `${families.includes(4)}`,
        assign_ipv6: `${families.includes(6)}`,
      }),
    },
    ...(ips.length > 0 && { runtimeConfig: { ...config.runtimeConfig, ips: ips.map(formatIp) } }),
  };
}
