import { closeSync } from 'node:fs';
import { SyscallError } from './errors.ts';
import { cInt, EAGAIN, libcAsync, libcCall, libcTry } from './libc.ts';
import { MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW } from './socket-constants.ts';

// include/linux/socket.h, include/uapi/linux/in.h, in6.h
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_IP = 0;
const IPPROTO_ICMP = 1;
const IPPROTO_IPV6 = 41;
const IPPROTO_ICMPV6 = 58;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
const IPV6_DONTFRAG = 62;
/** Don't fragment, and don't believe what is remembered of the path. */
const PMTUDISC_PROBE = 3;
const POLLIN = 1;
const MAX_PACKET_BYTES = 64 * 1024;

/** How both families look to the socket. */
const families = {
  4: { af: AF_INET, protocol: IPPROTO_ICMP, addressBytes: 16, ipAt: 4, ipBytes: 4 },
  6: { af: AF_INET6, protocol: IPPROTO_ICMPV6, addressBytes: 28, ipAt: 8, ipBytes: 16 },
} as const;

export interface IcmpMessage {
  /** From the ICMP header on. */
  message: Buffer;
  /** The sender's address, 4 or 16 bytes. */
  from: Buffer;
}

export interface IcmpSocketOptions {
  family: 4 | 6;
  /** Address of this machine to send from, 4 or 16 bytes; what the route says unless given. */
  source?: Buffer;
}

/**
 * ICMP or ICMPv6 of the network namespace where the thread stands (raw(7)): sends whole packets, which nobody on the way may
 * fragment, and receives every ICMP message that comes in.
 */
export class IcmpSocket implements Disposable {
  readonly #fd: number;
  readonly #family: (typeof families)[4 | 6];
  readonly #buffer = Buffer.allocUnsafe(MAX_PACKET_BYTES);

  /** @throws SyscallError EPERM without CAP_NET_RAW, EADDRNOTAVAIL for a source that is not ours */
  constructor({ family, source }: IcmpSocketOptions) {
    this.#family = families[family];
    const { af, protocol } = this.#family;
    this.#fd = libcCall('socket', undefined, af, SOCK_RAW | SOCK_CLOEXEC, protocol);
    try {
      const set = (level: number, name: number, value: number) =>
        libcCall('setsockopt', undefined, this.#fd, level, name, cInt(value), 4);
      if (family === 4) set(IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE);
      else {
        set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
        set(IPPROTO_IPV6, IPV6_DONTFRAG, 1);
      }
      if (source !== undefined) {
        const address = this.#address(source);
        libcCall('bind', undefined, this.#fd, address, address.length);
      }
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /**
   * Sends a message; the checksum of ICMPv6 is the kernel's work. @param to 4 or 16 bytes
   * @throws SyscallError EMSGSIZE when the packet is too large for the link, ENETUNREACH, EHOSTUNREACH, EPERM when a rule of
   * this machine drops it
   */
  send(message: Buffer, to: Buffer): void {
    const address = this.#address(to);
    libcCall('sendto', undefined, this.#fd, message, message.length, 0, address, address.length);
  }

  /** One message, or undefined when none is there. */
  receiveNow(): IcmpMessage | undefined {
    const { addressBytes, ipAt, ipBytes, af } = this.#family;
    const address = Buffer.alloc(addressBytes);
    const size = libcTry(
      'recvfrom',
      this.#fd,
      this.#buffer,
      MAX_PACKET_BYTES,
      MSG_DONTWAIT,
      address,
      cInt(addressBytes),
    );
    if (size === -EAGAIN) return undefined;
    if (size < 0) throw new SyscallError('recvfrom', -size);
    // IPv4 comes with its header, whose length is in its first byte.
    const start = af === AF_INET && size > 0 ? (this.#buffer[0]! & 0xf) * 4 : 0;
    return {
      message: Buffer.from(this.#buffer.subarray(start, size)),
      from: address.subarray(ipAt, ipAt + ipBytes),
    };
  }

  /** Resolves to true when a message is there, to false after `timeoutMs`. Waits in the thread pool. */
  async waitReadable(timeoutMs: number): Promise<boolean> {
    const pollfd = Buffer.alloc(8);
    pollfd.writeInt32LE(this.#fd, 0);
    pollfd.writeInt16LE(POLLIN, 4);
    return (await libcAsync('poll', pollfd, 1, timeoutMs)) > 0;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #address(ip: Buffer): Buffer {
    const { af, addressBytes, ipAt } = this.#family;
    const address = Buffer.alloc(addressBytes);
    address.writeUInt16LE(af, 0);
    ip.copy(address, ipAt);
    return address;
  }
}
