import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';

/** Joins each pod to the host by a pair of its own; docs/plugins/ptp.md */
export const ptp: Plugin<PluginHost> = {
  type: 'ptp',
  about: 'CNI ptp plugin of Amphipod',
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
