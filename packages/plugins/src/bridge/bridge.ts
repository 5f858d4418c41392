import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';

/** Joins pods to a Linux bridge; docs/plugins/bridge.md */
export const bridge: Plugin<PluginHost> = {
  type: 'bridge',
  about: 'CNI bridge plugin of Amphipod',
  versions: specVersions,
  add,
  del,
  check,
  async status(request) {
    readConfig(request);
    await ipamCall(request, 'STATUS');
  },
  gc,
};
