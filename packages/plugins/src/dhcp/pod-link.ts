import { isCode, namespaceId, PacketSocket } from '@amphipod/linux';
import { type Link, linkFind, linkSet } from '@amphipod/netlink';
import { openPluginHost, type Pod } from '../lib/host.ts';
import { clientFilter } from './datagram.ts';

const ETHERTYPE_IPV4 = 0x0800;

/** The interface of a pod that DHCP runs over. */
export interface PodLink extends Disposable {
  netnsId: string;
  /** 6 bytes. */
  mac: Buffer;
  socket: PacketSocket;
  /** Sets the interface down. */
  down(): void;
}

/** Opens the interface, sets it up when it is down. Nothing of it keeps the namespace alive once it is disposed. @throws Error with the reference's words */
export function openPodLink(netns: string, ifName: string): PodLink {
  using pod = openPluginHost().openPod(netns);
  const link = linkFind(pod.rtnl, ifName);
  if (link === undefined) throw new Error(`error looking up ${JSON.stringify(ifName)}: Link not found`);
  if (!link.flags.up) linkSet(pod.rtnl, link.ifIndex, { up: true });
  const socket = openSocket(pod, link);
  return {
    netnsId: namespaceId(netns),
    mac: macOf(link),
    socket,
    down() {
      using again = openPluginHost().openPod(netns);
      linkSet(again.rtnl, link.ifIndex, { up: false });
    },
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}

/** As {@link openPodLink}; undefined when namespace or interface are no longer those of the lease. */
export function reopenPodLink({
  netns,
  netnsId,
  ifName,
  mac,
}: {
  netns: string;
  netnsId: string;
  ifName: string;
  mac: Buffer;
}): PodLink | undefined {
  try {
    if (namespaceId(netns) !== netnsId) return undefined;
    using pod = openPluginHost().openPod(netns);
    const link = linkFind(pod.rtnl, ifName);
    if (link === undefined || !macOf(link).equals(mac)) return undefined;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR') || isCode((error as Error).cause, 'ENOENT', 'EINVAL'))
      return undefined;
    throw error;
  }
  return openPodLink(netns, ifName);
}

function openSocket(pod: Pod, { ifIndex }: Link): PacketSocket {
  return pod.run(() => new PacketSocket({ ifIndex, etherType: ETHERTYPE_IPV4, filter: clientFilter }));
}

function macOf(link: Link): Buffer {
  return Buffer.from((link.mac ?? '').replaceAll(':', ''), 'hex');
}
