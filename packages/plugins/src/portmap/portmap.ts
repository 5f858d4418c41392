import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { requireIptables } from '../lib/iptables.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';

/** Leads ports of the machine to pods; docs/plugins/portmap.md */
export const portmap: Plugin<PluginHost> = {
  type: 'portmap',
  about: 'CNI portmap plugin of Amphipod',
  versions: specVersions,
  add,
  del,
  check,
  async status(request) {
    if (readConfig(request).backend === 'iptables') await requireIptables();
  },
  gc,
};
