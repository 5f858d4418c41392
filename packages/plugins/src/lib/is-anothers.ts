import type { PluginRequest } from '@amphipod/cni';
import { type Link, linkFind } from '@amphipod/netlink';
import type { PluginHost } from './host.ts';
import { isOwnTag, ownerTag } from './owner.ts';
import { ownerOf } from './owner-of.ts';

/** True when a link in the pod is known to be another attachment's: the namespace has a new owner. */
export function isAnothers({ rtnl }: PluginHost, request: PluginRequest, link: Link): boolean {
  const tag = isOwnTag(link.alias) ? link.alias : aliasOfHostEnd(rtnl, link);
  // What host-device moved has more than the tag in its alias.
  return isOwnTag(tag) && !tag!.startsWith(ownerTag(ownerOf(request)));
}

/** Of a pair the host's end names the owner. */
function aliasOfHostEnd(rtnl: PluginHost['rtnl'], { kind, ifIndex, peerIndex }: Link): string | undefined {
  if (kind !== 'veth' || peerIndex === undefined) return undefined;
  const peer = linkFind(rtnl, peerIndex);
  return peer?.kind === 'veth' && peer.peerIndex === ifIndex ? peer.alias : undefined;
}
