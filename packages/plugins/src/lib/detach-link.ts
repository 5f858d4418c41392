import type { PluginRequest } from '@amphipod/cni';
import { type Link, linkDel, linkFind } from '@amphipod/netlink';
import { Attempts } from './attempts.ts';
import { openPodIfThere, type PluginHost, type Pod } from './host.ts';
import { ipamCall, readIpamType } from './ipam.ts';
import { isAnothers } from './is-anothers.ts';

/**
 * DEL of a plugin whose link is all in the pod. A namespace, a link or an IPAM plugin that is not there is fine: the kernel
 * deletes such links itself together with the namespace or the parent (field cases CNI-06, NET-08).
 */
export async function detachLink(request: PluginRequest, host: PluginHost): Promise<void> {
  await releaseAfter(request, async () => {
    using pod = openPodIfThere(host, request.netns);
    const link = pod && findAttached(host, pod, request);
    if (pod !== undefined && link !== undefined) await linkDel(pod.rtnl, link.ifIndex);
  });
}

/** The request's link in the pod; undefined also when the namespace has a new owner. */
export function findAttached(host: PluginHost, pod: Pod, request: PluginRequest): Link | undefined {
  const link = linkFind(pod.rtnl, request.ifName);
  return link === undefined || isAnothers(host, request, link) ? undefined : link;
}

/** Gives the addresses back once nothing uses them any more: when `remove` fails they stay reserved. */
export async function releaseAfter(request: PluginRequest, remove: () => Promise<void>): Promise<void> {
  if (readIpamType(request) !== 'dhcp') {
    await remove();
    await ipamCall(request, 'DEL');
    return;
  }
  // A DHCP release leaves through the interface itself.
  const attempts = new Attempts();
  await attempts.run(() => ipamCall(request, 'DEL'));
  await attempts.run(remove);
  attempts.throwIfAny();
}
