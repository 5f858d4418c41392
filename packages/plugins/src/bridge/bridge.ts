import { CniError, type Plugin, specVersions } from '@amphipod/cni';
import { linkFind } from '@amphipod/netlink';
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
  async status(request, host) {
    const { bridge: name } = readConfig(request);
    const link = linkFind(host.rtnl, name);
    if (link !== undefined && link.kind !== 'bridge') {
      throw new CniError(
        'plugin-not-available',
        `${JSON.stringify(name)} already exists but is not a bridge`,
      );
    }
    await ipamCall(request, 'STATUS');
  },
  gc,
};
