import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { SyscallError } from './errors.ts';
import { cInt, EAGAIN, libcCall, libcTry } from './libc.ts';
import { MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from './socket-constants.ts';

const SockFprog = koffi.struct('sock_fprog', { len: 'uint16_t', filter: 'void *' });

// include/uapi/linux/if_packet.h, if_ether.h, asm-generic/socket.h
const AF_PACKET = 17;
const SO_ATTACH_FILTER = 26;
const SOCKADDR_LL_BYTES = 20;
const ETH_ALEN = 6;
const ENETDOWN = 100;
const MAX_PACKET_BYTES = 64 * 1024;

/** One instruction of a classic BPF program (include/uapi/linux/filter.h). */
export interface BpfInstruction {
  code: number;
  jt?: number;
  jf?: number;
  k: number;
}

export interface Packet {
  /** From the network header on. */
  data: Buffer;
  /** The sender's hardware address, 6 bytes. */
  from: Buffer;
}

export interface PacketSocketOptions {
  ifIndex: number;
  /** `0x0800` for IPv4: include/uapi/linux/if_ether.h */
  etherType: number;
  /** Only packets that this lets through are received; offsets count from the network header. */
  filter: readonly BpfInstruction[];
}

/**
 * Packets of one interface without their link header (packet(7), SOCK_DGRAM), in the network namespace where the thread stood
 * when the socket was opened. For protocols that run before an interface has an address.
 */
export class PacketSocket implements Disposable {
  readonly #fd: number;
  readonly #options: PacketSocketOptions;
  readonly #buffer = Buffer.allocUnsafe(MAX_PACKET_BYTES);

  /** @throws SyscallError EPERM without CAP_NET_RAW, ENODEV, ENETDOWN */
  constructor(options: PacketSocketOptions) {
    this.#options = options;
    // Protocol 0: nothing is received before the filter is there and bind() sets the protocol.
    this.#fd = libcCall('socket', undefined, AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    try {
      this.#attachFilter(options.filter);
      libcCall('bind', undefined, this.#fd, this.#address(Buffer.alloc(ETH_ALEN)), SOCKADDR_LL_BYTES);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Sends what begins with a network header. @param to hardware address, 6 bytes */
  send(data: Buffer, to: Buffer): void {
    libcCall('sendto', undefined, this.#fd, data, data.length, 0, this.#address(to), SOCKADDR_LL_BYTES);
  }

  /** One packet, or undefined when none is there. @throws SyscallError ENETDOWN once when the interface has gone down */
  receiveNow(): Packet | undefined {
    const address = Buffer.alloc(SOCKADDR_LL_BYTES);
    const from = [address, cInt(SOCKADDR_LL_BYTES)];
    const size = libcTry('recvfrom', this.#fd, this.#buffer, MAX_PACKET_BYTES, MSG_DONTWAIT, ...from);
    if (size === -EAGAIN) return undefined;
    if (size < 0) throw new SyscallError('recvfrom', -size);
    return { data: Buffer.from(this.#buffer.subarray(0, size)), from: address.subarray(12, 12 + ETH_ALEN) };
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #address(hardware: Buffer): Buffer {
    const address = Buffer.alloc(SOCKADDR_LL_BYTES);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(this.#options.etherType, 2);
    address.writeInt32LE(this.#options.ifIndex, 4);
    address[11] = ETH_ALEN;
    hardware.copy(address, 12);
    return address;
  }

  #attachFilter(filter: readonly BpfInstruction[]): void {
    const program = Buffer.alloc(filter.length * 8);
    for (const [i, { code, jt = 0, jf = 0, k }] of filter.entries()) {
      program.writeUInt16LE(code, i * 8);
      program[i * 8 + 2] = jt;
      program[i * 8 + 3] = jf;
      program.writeUInt32LE(k, i * 8 + 4);
    }
    const value = koffi.as({ len: filter.length, filter: program }, koffi.pointer(SockFprog));
    const size = koffi.sizeof(SockFprog);
    libcCall('setsockopt', undefined, this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, value, size);
  }
}

/** The interface that a packet socket is on went down: what it waits for may still come when it is up again. */
export function isNetworkDown(error: unknown): boolean {
  return error instanceof SyscallError && error.errno === ENETDOWN;
}
