import type { PluginRequest } from '@amphipod/cni';
import { linkDel, linkFind, linkList, linkSet } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import { openPodIfThere, type PluginHost } from '../lib/host.ts';
import { isAnothers } from '../lib/is-anothers.ts';
import { isOwnTag } from '../lib/owner.ts';
import { findVrfName } from './config.ts';

/** Takes the interface out of the VRF, and removes that when it is empty and an ADD made it. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const vrfName = findVrfName(request);
  using pod = vrfName === undefined ? undefined : openPodIfThere(host, request.netns);
  if (vrfName === undefined || pod === undefined) return;
  const { rtnl } = pod;
  const vrf = linkFind(rtnl, vrfName);
  if (vrf?.vrf === undefined) return;
  const attempts = new Attempts();
  await attempts.run(() => {
    const link = linkFind(rtnl, request.ifName);
    if (link?.masterIndex !== vrf.ifIndex || isAnothers(host, request, link)) return;
    linkSet(rtnl, link.ifIndex, { masterIndex: 0 });
  });
  await attempts.run(async () => {
    if (!isOwnTag(vrf.alias) || linkList(rtnl, { masterIndex: vrf.ifIndex }).length > 0) return;
    await linkDel(rtnl, vrf.ifIndex);
  });
  attempts.throwIfAny();
}
