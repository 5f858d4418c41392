import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';
import { status } from './status.ts';

/** Changes settings of a pod's network and of its interface; docs/plugins/tuning.md */
export const tuning: Plugin<PluginHost> = {
  type: 'tuning',
  about: 'CNI tuning plugin of Amphipod',
  versions: specVersions,
  add,
  del,
  check,
  status,
  gc,
};
