import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';

/** Routes by source address, for pods with several interfaces; docs/plugins/sbr.md */
export const sbr: Plugin<PluginHost> = {
  type: 'sbr',
  about: 'CNI sbr plugin of Amphipod',
  versions: specVersions,
  add,
  del,
  check,
  async status(request) {
    readConfig(request);
  },
  // Everything is in the pod's namespace and goes with it.
  async gc() {},
};
