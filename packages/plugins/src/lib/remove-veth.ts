import type { PluginRequest } from '@amphipod/cni';
import { linkDel, linkFind, linkList } from '@amphipod/netlink';
import { findAttached } from './detach-link.ts';
import { openPodIfThere, type PluginHost } from './host.ts';
import { findHostVeth } from './host-veth.ts';
import { isStaleTag } from './owner.ts';
import { ownerOf } from './owner-of.ts';

/** Removes the pair that an ADD of this owner made. Gives its host end's name; undefined when it was not there. */
export async function removeVeth(request: PluginRequest, host: PluginHost): Promise<string | undefined> {
  const own = findHostVeth(host.rtnl, ownerOf(request));
  if (own !== undefined) return (await linkDel(host.rtnl, own.ifIndex)) ? own.name : undefined;
  return await removeForeignVeth(request, host);
}

/** The interface of an ADD by the reference plugins, which leave no alias. */
async function removeForeignVeth(request: PluginRequest, host: PluginHost): Promise<string | undefined> {
  using pod = openPodIfThere(host, request.netns);
  const link = pod && findAttached(host, pod, request);
  if (pod === undefined || link === undefined) return undefined;
  const hostEnd = link.peerIndex === undefined ? undefined : linkFind(host.rtnl, link.peerIndex);
  return (await linkDel(pod.rtnl, link.ifIndex)) ? (hostEnd?.name ?? '') : undefined;
}

/** Removes the pairs of attachments that are no longer valid. */
export async function removeStaleVeths(
  { config, validAttachments: valid = [] }: PluginRequest,
  host: PluginHost,
): Promise<void> {
  for (const { alias, ifIndex } of linkList(host.rtnl, { kind: 'veth' })) {
    if (isStaleTag(alias, config.name, valid)) await linkDel(host.rtnl, ifIndex);
  }
}
