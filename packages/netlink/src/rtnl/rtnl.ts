import { inNetns, inNetnsOfSocket, NETLINK, NetlinkSocket } from '@amphipod/linux';
import { NetlinkConn, type NetlinkTransport } from '../conn.ts';
import { LinkDeletions } from './link-deletions.ts';

/** A socket for requests that the kernel takes long over, with what it announces meanwhile. */
export interface BackgroundTransport extends NetlinkTransport {
  sendAsync(datagram: Buffer): Promise<void>;
  waitReadable(timeoutMs: number): Promise<boolean>;
  setReceiveBuffer(bytes: number): void;
}

/** Opens a further socket in the namespace of the connection; `groups` are multicast groups to join. */
export type OpenSibling = (groups: readonly number[]) => BackgroundTransport;

/**
 * A connection to the kernel's route family (links, addresses, routes, neighbours, rules) in one network namespace:
 * that in which it was opened, wherever the thread goes later.
 */
export class Rtnl extends NetlinkConn {
  /** Another socket in the same namespace, as {@link linkDel} and monitors need one. */
  readonly openSibling: OpenSibling;
  /** Link deletions under way. */
  readonly deletions: LinkDeletions;

  constructor(socket: NetlinkTransport, openSibling: OpenSibling) {
    super(socket);
    this.openSibling = (groups) => {
      this.assertOpen('open netlink socket');
      return openSibling(groups);
    };
    this.deletions = new LinkDeletions(this.openSibling);
  }
}

/** Opens a connection in the thread's current network namespace. @throws SyscallError */
export function openRtnl(): Rtnl {
  const socket = new NetlinkSocket(NETLINK.ROUTE);
  return new Rtnl(socket, (groups) =>
    inNetnsOfSocket(socket.fd, () => new NetlinkSocket(NETLINK.ROUTE, groups)),
  );
}

/** Opens a connection in another network namespace (`ip -n NAME …`): an open descriptor or a path. @throws SyscallError */
export function openRtnlIn(netns: string | number): Rtnl {
  return inNetns<Rtnl>(netns, openRtnl);
}
