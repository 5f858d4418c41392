import { type Plugin, specVersions } from '@amphipod/cni';
import { attachOnParent } from '../lib/attach-on-parent.ts';
import { checkFailure } from '../lib/check-interface.ts';
import { checkKind, checkLink } from '../lib/check-link.ts';
import { detachLink } from '../lib/detach-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { checkParent, parentStatus } from '../lib/parent-link.ts';
import { readConfig } from './config.ts';

/** Gives pods a hardware address of their own on the network of a host interface; docs/plugins/macvlan.md */
export const macvlan: Plugin<PluginHost> = {
  type: 'macvlan',
  about: 'CNI macvlan plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    const config = readConfig(request);
    const { mode, mac, bcQueueLength, ipamType } = config;
    return await attachOnParent(request, host, {
      kind: 'macvlan',
      config,
      limitsMtu: true,
      ipamType,
      notifiesNeighbours: true,
      spec: ({ ifIndex }) => ({
        kind: 'macvlan',
        parentIndex: ifIndex,
        mode,
        ...(mac !== undefined && { mac }),
        ...(bcQueueLength !== undefined && { bcQueueLength }),
      }),
    });
  },
  del: detachLink,
  async check(request, host) {
    const config = readConfig(request);
    await checkLink(request, host, (link, pod) => {
      checkKind(link, 'macvlan');
      const mode = link.macvlan?.mode;
      if (mode !== config.mode) {
        throw checkFailure(`container macvlan mode ${mode} does not match expected value: ${config.mode}`);
      }
      checkParent(host, pod, config, link);
    });
  },
  async status(request, host) {
    readConfig(request);
    parentStatus(request, host);
    await ipamCall(request, 'STATUS');
  },
  gc: (request) => ipamCall(request, 'GC'),
};
