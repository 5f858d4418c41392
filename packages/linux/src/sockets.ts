import { closeSync } from 'node:fs';
import { SyscallError } from './errors.ts';
import { cInt, EAGAIN, libcAsync, libcCall, libcTry } from './libc.ts';
import { MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from './socket-constants.ts';

// include/uapi/linux/netlink.h, include/linux/socket.h
const AF_NETLINK = 16;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const EMSGSIZE = 90;
const POLLIN = 1;
// The kernel makes no larger datagrams than half of this (af_netlink.c, max_recvmsg_len): no need to ask for the size first.
const bufferBytes = 64 * 1024;

/** Protocol numbers of socket(AF_NETLINK, …): include/uapi/linux/netlink.h. */
export const NETLINK = { ROUTE: 0, NETFILTER: 12, GENERIC: 16, KOBJECT_UEVENT: 15 } as const;

/** A netlink socket in the network namespace where the thread stood when it was opened. */
export class NetlinkSocket implements Disposable {
  readonly fd: number;
  #closed = false;
  readonly #buffer = Buffer.allocUnsafe(bufferBytes);

  /** @param protocol one of {@link NETLINK} @param groups multicast groups to join (numbers, not masks) */
  constructor(protocol: number, groups: readonly number[] = []) {
    this.fd = libcCall('socket', undefined, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    try {
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK, 0);
      libcCall('bind', undefined, this.fd, address, address.length);
      for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
        // Old kernels lack some of these; the socket works without.
        libcTry('setsockopt', this.fd, SOL_NETLINK, option, cInt(1), 4);
      }
      for (const group of groups) {
        libcCall('setsockopt', undefined, this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, cInt(group), 4);
      }
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  /** Sends one datagram; the kernel handles the request before this returns (blocking). */
  send(message: Buffer): void {
    libcCall('send', undefined, this.fd, message, message.length, 0);
  }

  /** {@link send} in the thread pool, for requests that the kernel takes long over (link deletion). Keep `message` unchanged. */
  async sendAsync(message: Buffer): Promise<void> {
    const sent = await libcAsync('send', this.fd, message, message.length, 0);
    if (sent < 0) throw new Error('send netlink message: failed in the thread pool');
  }

  /** Waits for one datagram (blocking) and returns a copy of it. */
  receive(): Buffer {
    return this.#receive(0)!;
  }

  /** One datagram, or undefined when none is there. */
  receiveNow(): Buffer | undefined {
    return this.#receive(MSG_DONTWAIT);
  }

  #receive(flags: number): Buffer | undefined {
    const size = libcTry('recv', this.fd, this.#buffer, bufferBytes, flags | MSG_TRUNC);
    if (size === -EAGAIN) return undefined;
    if (size < 0) throw new SyscallError('recv', -size);
    if (size > bufferBytes) throw new SyscallError('recv', EMSGSIZE);
    return Buffer.from(this.#buffer.subarray(0, size));
  }

  /** Receive buffer in bytes (SO_RCVBUFFORCE where allowed), for monitors and large transactions. */
  setReceiveBuffer(bytes: number): void {
    if (libcTry('setsockopt', this.fd, SOL_SOCKET, SO_RCVBUFFORCE, cInt(bytes), 4) < 0) {
      libcTry('setsockopt', this.fd, SOL_SOCKET, SO_RCVBUF, cInt(bytes), 4);
    }
  }

  /** Resolves to true when a datagram is there, to false after `timeoutMs`. Waits in the thread pool. */
  async waitReadable(timeoutMs: number): Promise<boolean> {
    const pollfd = Buffer.alloc(8);
    pollfd.writeInt32LE(this.fd, 0);
    pollfd.writeInt16LE(POLLIN, 4);
    return (await libcAsync('poll', pollfd, 1, timeoutMs)) > 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
