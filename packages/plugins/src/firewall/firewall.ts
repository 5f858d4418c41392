import { CniError, type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { requireIptables } from '../lib/iptables.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { isFirewalldRunning } from './firewalld.ts';
import { gc } from './gc.ts';

/** Lets pods through the machine's firewall; docs/plugins/firewall.md */
export const firewall: Plugin<PluginHost> = {
  type: 'firewall',
  about: 'CNI firewall plugin of Amphipod',
  versions: specVersions.slice(specVersions.indexOf('0.4.0')),
  add,
  del,
  check,
  async status(request) {
    const { backend } = readConfig(request);
    if (backend === 'firewalld' && !(await isFirewalldRunning())) {
      throw new CniError('plugin-not-available', 'firewalld does not run');
    }
    if (backend === 'iptables') await requireIptables();
  },
  gc,
};
