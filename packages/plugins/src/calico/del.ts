import type { PluginRequest } from '@amphipod/cni';
import { linkDel, linkFind, type Rtnl } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { deleteEndpoint } from './endpoint.ts';
import { withCalicoErrors } from './errors.ts';
import { openSession } from './session.ts';
import { hostVethName, readWorkload } from './workload.ts';

/** Removes what ADD made for this container, and only that: a newer sandbox of the same pod has the same names. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  await withCalicoErrors(async () => {
    const session = await openSession(request, host);
    const workload = readWorkload(request, session.node);
    const attempts = new Attempts();
    const name = hostVethName(workload);
    // If this fails the addresses stay taken: a pod may be using them still.
    await removeOwnLink(host.rtnl, name, ownerTag(ownerOf(request)));
    await attempts.run(async () => {
      const deleted = await deleteEndpoint(session.store, workload, request.signal);
      // Calico's own plugin leaves no alias on what it makes; the endpoint says that it was ours.
      if (deleted?.spec.interfaceName === name) await removeOwnLink(host.rtnl, name, undefined);
    });
    await attempts.run(() => ipamCall(request, 'DEL'));
    attempts.throwIfAny();
  });
}

/** Removes a link when it has just this alias. */
async function removeOwnLink(rtnl: Rtnl, name: string, alias: string | undefined): Promise<void> {
  const found = linkFind(rtnl, name);
  if (found !== undefined && found.alias === alias) await linkDel(rtnl, found.ifIndex);
}
