import { isAtLeast, type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { requireVrfKind } from './ensure-vrf.ts';

/** Puts a pod's interface into a VRF, with a routing table of its own; docs/plugins/vrf.md */
export const vrf: Plugin<PluginHost> = {
  type: 'vrf',
  about: 'CNI vrf plugin of Amphipod',
  versions: specVersions.filter((version) => isAtLeast(version, '0.3.1')),
  add,
  del,
  check,
  async status(request, { rtnl }) {
    readConfig(request);
    requireVrfKind(rtnl);
  },
  // Everything is in the pod's namespace and goes with it.
  async gc() {},
};
