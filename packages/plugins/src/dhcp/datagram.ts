import type { BpfInstruction } from '@amphipod/linux';
import { type IpAddress, ipToBytes } from '@amphipod/netlink';

export const SERVER_PORT = 67;
const CLIENT_PORT = 68;
const UDP = 17;
const IP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
const TTL = 64;

/** Lets through: UDP to the client's port, not a later fragment. */
export const clientFilter: readonly BpfInstruction[] = [
  { code: 0x30, k: 9 }, // ldb [9]: protocol
  { code: 0x15, jf: 6, k: UDP },
  { code: 0x28, k: 6 }, // ldh [6]: fragment offset
  { code: 0x45, jt: 4, k: 0x1fff },
  { code: 0xb1, k: 0 }, // ldx 4*([0]&0xf): header length
  { code: 0x48, k: 2 }, // ldh [x+2]: destination port
  { code: 0x15, jf: 1, k: CLIENT_PORT },
  { code: 0x06, k: 0xffff },
  { code: 0x06, k: 0 },
];

/** A client's UDP datagram to a server, with its IPv4 header. */
export function encodeDatagram(
  payload: Buffer,
  source: IpAddress | undefined,
  destination: IpAddress,
): Buffer {
  const length = IP_HEADER_BYTES + UDP_HEADER_BYTES + payload.length;
  const head = Buffer.alloc(IP_HEADER_BYTES + UDP_HEADER_BYTES);
  head[0] = 0x45;
  head.writeUInt16BE(length, 2);
  head[8] = TTL;
  head[9] = UDP;
  if (source !== undefined) ipToBytes(source).copy(head, 12);
  ipToBytes(destination).copy(head, 16);
  head.writeUInt16BE(checksum(head.subarray(0, IP_HEADER_BYTES)), 10);
  const udp = head.subarray(IP_HEADER_BYTES);
  udp.writeUInt16BE(CLIENT_PORT, 0);
  udp.writeUInt16BE(SERVER_PORT, 2);
  udp.writeUInt16BE(UDP_HEADER_BYTES + payload.length, 4);
  const pseudo = Buffer.concat([head.subarray(12, 20), Buffer.from([0, UDP]), udp.subarray(4, 6)]);
  // Zero would mean that there is none.
  udp.writeUInt16BE(checksum(Buffer.concat([pseudo, udp, payload])) || 0xffff, 6);
  return Buffer.concat([head, payload]);
}

/**
 * The payload of a received datagram; undefined when it is cut off. Checksums are not looked at: between namespaces of one
 * machine the kernel leaves them to hardware that is not there.
 */
export function decodeDatagram(packet: Buffer): Buffer | undefined {
  const headerBytes = ((packet[0] ?? 0) & 0xf) * 4;
  if (headerBytes < IP_HEADER_BYTES || packet.length < headerBytes + UDP_HEADER_BYTES) return undefined;
  const udp = packet.subarray(headerBytes);
  const length = udp.readUInt16BE(4);
  return length < UDP_HEADER_BYTES || length > udp.length
    ? undefined
    : udp.subarray(UDP_HEADER_BYTES, length);
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
