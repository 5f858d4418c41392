import { type Plugin, specVersions } from '@amphipod/cni';
import { attachLink } from '../lib/attach-link.ts';
import { checkKind, checkLink } from '../lib/check-link.ts';
import { detachLink } from '../lib/detach-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { linkInPod } from '../lib/link-in-pod.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { readConfig } from './config.ts';

/** Gives pods an interface that leads nowhere, for addresses that must be local; docs/plugins/dummy.md */
export const dummy: Plugin<PluginHost> = {
  type: 'dummy',
  about: 'CNI dummy plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    const { ipamType } = readConfig(request);
    return await attachLink(request, host, {
      ipamType,
      keepsIpamDns: true,
      wantsDad: () => false,
      make: (pod, undo) =>
        linkInPod(pod.rtnl, pod, { kind: 'dummy' }, { kind: 'dummy', owner: ownerOf(request), undo }),
    });
  },
  del: detachLink,
  async check(request, host) {
    readConfig(request);
    await checkLink(request, host, (link) => checkKind(link, 'dummy'));
  },
  async status(request) {
    readConfig(request);
    await ipamCall(request, 'STATUS');
  },
  gc: (request) => ipamCall(request, 'GC'),
};
