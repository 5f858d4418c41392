import { type Dns, decodeDns, type PluginRequest, type Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { type Link, linkSet, parseCidr } from '@amphipod/netlink';
import { configureInterface } from './configure-interface.ts';
import type { PluginHost, Pod } from './host.ts';
import { ipamAdd } from './ipam.ts';
import { trySysctl } from './settings.ts';
import { withUndo } from './with-undo.ts';

/** What differs between the plugins that give a pod one link. */
export interface LinkSteps {
  /** Brings the link into the pod, down; registers how to undo that. */
  make(pod: Pod, undo: UndoStack): Link;
  /** Undefined: no addresses by IPAM. */
  ipamType: string | undefined;
  /** Addresses from elsewhere, for a plugin in a chain. */
  addresses?: Result | undefined;
  /** IPv6 duplicate address detection, where there is a network with others on it. */
  wantsDad(link: Link): boolean;
  /** The neighbours are told of new addresses (IPv6; IPv4 always). */
  notifiesNeighbours?: boolean;
  /** The result keeps IPAM's `dns`; otherwise that of the configuration replaces it, as in the reference. */
  keepsIpamDns?: boolean;
}

/** ADD: the link, its addresses and routes, up; undone as a whole after a failure. */
export async function attachLink(
  request: PluginRequest,
  host: PluginHost,
  steps: LinkSteps,
): Promise<Result> {
  const dns = decodeDns(request.config.dns);
  using pod = host.openPod(request.netns);
  return await withUndo(async (undo) => {
    const link = steps.make(pod, undo);
    const { ipamType, addresses } = steps;
    const layer3 = addresses ?? (ipamType === undefined ? undefined : await ipamAdd(request, ipamType, undo));
    if (layer3 === undefined) linkSet(pod.rtnl, link.ifIndex, { up: true });
    else await configure(pod, link, layer3, steps);
    return describe(request, link, { ...layer3, dns: steps.keepsIpamDns ? layer3?.dns : dns });
  });
}

async function configure(pod: Pod, link: Link, layer3: Result, steps: LinkSteps): Promise<void> {
  const { ifIndex, name: ifName } = link;
  const hasIpv6 = (layer3.ips ?? []).some(({ address }) => parseCidr(address).ip.family === 6);
  if (hasIpv6 && steps.notifiesNeighbours) {
    pod.run<void>(() => trySysctl(`net/ipv6/conf/${ifName}/ndisc_notify`, '1'));
  }
  await configureInterface(pod, layer3, { ifIndex, ifName, enableDad: steps.wantsDad(link) });
}

function describe(
  { netns }: PluginRequest,
  { name, mac }: Link,
  { ips, routes, dns }: Omit<Result, 'dns'> & { dns: Dns | undefined },
): Result {
  return {
    interfaces: [{ name, ...(mac !== '' && { mac }), sandbox: netns }],
    ...(ips !== undefined && { ips: ips.map((ip) => ({ ...ip, interface: 0 })) }),
    ...(routes !== undefined && { routes }),
    ...(dns !== undefined && { dns }),
  };
}
