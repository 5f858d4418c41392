import { CniError, type Plugin, type PluginRequest, specVersions } from '@amphipod/cni';
import { attachLink } from '../lib/attach-link.ts';
import { checkKind, checkLink } from '../lib/check-link.ts';
import { detachLink } from '../lib/detach-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall, readIpamType } from '../lib/ipam.ts';
import { linkInPod } from '../lib/link-in-pod.ts';
import { ownerOf } from '../lib/owner-of.ts';

/** Gives pods an interface that leads nowhere, for addresses that must be local; docs/plugins/dummy.md */
export const dummy: Plugin<PluginHost> = {
  type: 'dummy',
  about: 'CNI dummy plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    return await attachLink(request, host, {
      ipamType: requireIpam(request),
      keepsIpamDns: true,
      wantsDad: () => false,
      make: (pod, undo) =>
        linkInPod(pod.rtnl, pod, { kind: 'dummy' }, { kind: 'dummy', owner: ownerOf(request), undo }),
    });
  },
  del: detachLink,
  async check(request, host) {
    requireIpam(request);
    await checkLink(request, host, (link) => checkKind(link, 'dummy'));
  },
  async status(request) {
    requireIpam(request);
    await ipamCall(request, 'STATUS');
  },
  gc: (request) => ipamCall(request, 'GC'),
};

function requireIpam(request: Pick<PluginRequest, 'config'>): string {
  const type = readIpamType(request);
  if (type !== undefined) return type;
  throw new CniError('invalid-network-config', 'dummy interface requires an IPAM configuration', {
    key: 'ipam',
  });
}
