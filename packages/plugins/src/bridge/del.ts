import type { PluginRequest } from '@amphipod/cni';
import { type Cidr, linkDel, linkFind, tryParseCidr } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import { openPodIfThere, type PluginHost } from '../lib/host.ts';
import { findHostVeth } from '../lib/host-veth.ts';
import { findIpMasq, removeIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { isOwnTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';

/**
 * Removes what ADD made for this owner, and only that. The order is that of safety: an address is given back when nothing
 * uses it any more.
 */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const attempts = new Attempts();
  // If this fails the address stays reserved: a pod may be using it still.
  const wasThere = await removeVeth(request, host);
  // With its interface there until now, the addresses cannot be another pod's.
  const sure = wasThere ? addressesOf(request) : [];
  await attempts.run(() => removeIpMasq(host, findIpMasq(request), ownerOf(request), sure));
  await attempts.run(() => ipamCall(request, 'DEL'));
  attempts.throwIfAny();
}

/** True when the pair was there and was this owner's. */
async function removeVeth(request: PluginRequest, host: PluginHost): Promise<boolean> {
  const own = findHostVeth(host.rtnl, ownerOf(request));
  if (own !== undefined) return await linkDel(host.rtnl, own.ifIndex);
  return await removeForeignVeth(request, host);
}

/** The interface of an ADD by the reference's bridge, which leaves no alias. */
async function removeForeignVeth({ netns, ifName }: PluginRequest, host: PluginHost): Promise<boolean> {
  using pod = openPodIfThere(host, netns);
  if (pod === undefined) return false;
  const link = linkFind(pod.rtnl, ifName);
  if (link === undefined) return false;
  const hostEnd = link.peerIndex === undefined ? undefined : linkFind(host.rtnl, link.peerIndex);
  // The namespace has a new owner.
  if (isOwnTag(hostEnd?.alias)) return false;
  return await linkDel(pod.rtnl, link.ifIndex);
}

function addressesOf({ prevResult, ifName }: PluginRequest): Cidr[] {
  const { interfaces = [], ips = [] } = prevResult ?? {};
  const isMine = (index: number | undefined) => index === undefined || interfaces[index]?.name === ifName;
  return ips
    .filter((ip) => isMine(ip.interface))
    .map(({ address }) => tryParseCidr(address))
    .filter((cidr) => cidr !== undefined);
}
