import { type Plugin, specVersions } from '@amphipod/cni';
import { attachOnParent } from '../lib/attach-on-parent.ts';
import { checkFailure } from '../lib/check-interface.ts';
import { checkKind, checkLink } from '../lib/check-link.ts';
import { detachLink } from '../lib/detach-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { checkParent, parentStatus } from '../lib/parent-link.ts';
import { chainedAddresses, chainedMaster, readConfig } from './config.ts';

/** Gives pods addresses on the network of a host interface, behind its hardware address; docs/plugins/ipvlan.md */
export const ipvlan: Plugin<PluginHost> = {
  type: 'ipvlan',
  about: 'CNI ipvlan plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    const config = readConfig(request);
    const { mode, ipamType } = config;
    const { prevResult } = request;
    return await attachOnParent(request, host, {
      kind: 'ipvlan',
      config: { ...config, master: chainedMaster(config, prevResult) },
      limitsMtu: false,
      ipamType,
      addresses: chainedAddresses(config, prevResult),
      notifiesNeighbours: true,
      spec: ({ ifIndex }) => ({ kind: 'ipvlan', parentIndex: ifIndex, mode }),
    });
  },
  del: detachLink,
  async check(request, host) {
    const config = readConfig(request);
    await checkLink(request, host, (link, pod) => {
      checkKind(link, 'ipvlan');
      const mode = link.ipvlan?.mode;
      if (mode !== config.mode) {
        throw checkFailure(`Container IPVlan mode ${mode} does not match expected value: ${config.mode}`);
      }
      checkParent(host, pod, config, link);
    });
  },
  async status(request, host) {
    // Without a name the parent may be one that the plugin before makes.
    if (readConfig(request).master !== undefined) parentStatus(request, host);
    await ipamCall(request, 'STATUS');
  },
  gc: (request) => ipamCall(request, 'GC'),
};
