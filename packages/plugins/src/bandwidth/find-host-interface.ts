import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import { type Link, linkFind } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { findHostVeth } from '../lib/host-veth.ts';
import { ownerOf } from '../lib/owner-of.ts';

/** The host's end of the pod's veth pair; the result of the plugins before has to list it. @throws CniError */
export function findHostInterface(request: PluginRequest, host: PluginHost, prevResult: Result): Link {
  const { interfaces = [] } = prevResult;
  if (interfaces.length === 0) throw new CniError('internal', 'no interfaces provided');
  const isListed = (link: Link | undefined): link is Link =>
    link !== undefined && interfaces.some(({ name, sandbox }) => sandbox === undefined && name === link.name);
  // What our own plugins made has its name and alias from the attachment, which saves a look into the pod.
  const own = findHostVeth(host.rtnl, ownerOf(request));
  if (own?.kind === 'veth' && isListed(own)) return own;
  const peer = findPeer(request, host);
  if (isListed(peer)) return peer;
  throw new CniError('internal', 'no veth peer of container interface found in host ns');
}

function findPeer({ netns, ifName }: PluginRequest, host: PluginHost): Link {
  using pod = host.openPod(netns);
  const inPod = linkFind(pod.rtnl, ifName);
  if (inPod?.kind !== 'veth' || inPod.peerIndex === undefined) {
    const why = inPod === undefined ? 'Link not found' : `it is ${inPod.kind ?? 'no veth'}`;
    throw new CniError('internal', `container interface ${ifName} has no veth peer: ${why}`);
  }
  const peer = linkFind(host.rtnl, inPod.peerIndex);
  if (peer === undefined || peer.kind !== 'veth' || peer.peerIndex !== inPod.ifIndex) {
    throw new CniError('internal', `veth peer with index ${inPod.peerIndex} is not in host ns`);
  }
  return peer;
}
