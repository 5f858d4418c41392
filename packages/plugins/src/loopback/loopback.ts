import { CniError, type Plugin, type PluginRequest, type Result, specVersions } from '@amphipod/cni';
import { addrList, formatCidr, linkGet, linkSet } from '@amphipod/netlink';
import { openPodIfThere, type PluginHost, type Pod } from '../lib/host.ts';

import { withUndo } from '../lib/with-undo.ts';

/** Brings up `lo` in the pod's namespace; the name of the interface asked for does not matter. docs/plugins/loopback.md */
export const loopback: Plugin<PluginHost> = {
  type: 'loopback',
  about: 'CNI loopback plugin of Amphipod',
  versions: specVersions,

  async add(request, host) {
    using pod = host.openPod(request.netns);
    const { ifIndex, flags } = linkGet(pod.rtnl, 'lo');
    return await withUndo(async (undo) => {
      if (!flags.up) undo.defer('set lo down', () => linkSet(pod.rtnl, ifIndex, { up: false }));
      linkSet(pod.rtnl, ifIndex, { up: true });
      return request.prevResult ?? describe(request, pod, ifIndex);
    });
  },

  async del(request, host) {
    using pod = openPodIfThere(host, request.netns);
    if (pod !== undefined) linkSet(pod.rtnl, linkGet(pod.rtnl, 'lo').ifIndex, { up: false });
  },

  async check(request, host) {
    using pod = host.openPod(request.netns);
    if (!linkGet(pod.rtnl, 'lo').flags.up) {
      throw new CniError('plugin-specific', 'loopback interface is down');
    }
  },

  async status() {},
  async gc() {},
};

function describe({ netns }: PluginRequest, pod: Pod, ifIndex: number): Result {
  const addresses = addrList(pod.rtnl, { ifIndex });
  for (const { cidr } of addresses) {
    const isLoopback = cidr.ip.family === 4 ? cidr.ip.value >> 24n === 127n : cidr.ip.value === 1n;
    if (!isLoopback) {
      throw new CniError(
        'internal',
        `loopback interface found with non-loopback address ${JSON.stringify(formatCidr(cidr))}`,
      );
    }
  }
  return {
    interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: netns }],
    ips: addresses.map(({ cidr }) => ({ address: formatCidr(cidr), interface: 0 })),
  };
}
