import { type Plugin, specVersions } from '@amphipod/cni';
import type { Link } from '@amphipod/netlink';
import { attachOnParent } from '../lib/attach-on-parent.ts';
import { checkFailure } from '../lib/check-interface.ts';
import { checkKind, checkLink } from '../lib/check-link.ts';
import { detachLink } from '../lib/detach-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { checkParent, parentStatus } from '../lib/parent-link.ts';
import { readConfig, type VlanConfig } from './config.ts';

/** Gives pods one VLAN of a host interface; docs/plugins/vlan.md */
export const vlan: Plugin<PluginHost> = {
  type: 'vlan',
  about: 'CNI vlan plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    const config = readConfig(request);
    const { vlanId, ipamType } = config;
    return await attachOnParent(request, host, {
      kind: 'vlan',
      config,
      limitsMtu: true,
      ipamType,
      spec: ({ ifIndex }) => ({ kind: 'vlan', parentIndex: ifIndex, vlanId }),
    });
  },
  del: detachLink,
  async check(request, host) {
    const config = readConfig(request);
    await checkLink(request, host, (link, pod) => {
      checkKind(link, 'vlan');
      checkSettings(link, config);
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

function checkSettings({ name, mtu, vlan: found }: Link, config: VlanConfig): void {
  if (found?.id !== config.vlanId) {
    throw checkFailure(`interface ${name} has VLAN ID ${found?.id}, want ${config.vlanId}`);
  }
  if (config.mtu !== 0 && config.mtu !== mtu) {
    throw checkFailure(`configured MTU of ${name} is ${config.mtu}, current value is ${mtu}`);
  }
}
