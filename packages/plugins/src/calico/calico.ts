import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { readConfig } from './config.ts';
import { del } from './del.ts';
import { withStatusErrors } from './errors.ts';
import { gc } from './gc.ts';
import { assertReady, openSession } from './session.ts';

/** Gives pods their place in a routed network; docs/plugins/calico.md */
export const calico: Plugin<PluginHost> = {
  type: 'calico',
  about: 'CNI calico plugin of Amphipod',
  versions: specVersions,
  add,
  del,
  check,
  async status(request, host) {
    readConfig(request);
    await withStatusErrors(async () => {
      await assertReady(await openSession(request, host), request.signal);
    });
    await ipamCall(request, 'STATUS');
  },
  gc,
};
