import { isAtLeast, type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';

/** Limits what a pod sends and receives; docs/plugins/bandwidth.md */
export const bandwidth: Plugin<PluginHost> = {
  type: 'bandwidth',
  about: 'CNI bandwidth plugin of Amphipod',
  versions: specVersions.filter((version) => isAtLeast(version, '0.3.0')),
  add,
  del,
  check,
  async status(request) {
    readConfig(request);
  },
  gc,
};
