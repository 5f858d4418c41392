import type { IpFamily } from '@amphipod/netlink';

// RFC 792, RFC 1191, RFC 4443
const types = {
  4: { request: 8, reply: 0, unreachable: 3, headers: 28 },
  6: { request: 128, reply: 129, unreachable: 1, headers: 48 },
} as const;
const FRAGMENTATION_NEEDED = 4;
const PACKET_TOO_BIG = 2;
const ICMP_HEADER = 8;
const IPV6_HEADER = 40;

const unreachableTexts: Record<IpFamily, Record<number, string>> = {
  4: {
    0: 'network unreachable',
    1: 'host unreachable',
    2: 'protocol unreachable',
    3: 'port unreachable',
    9: 'network prohibited',
    10: 'host prohibited',
    13: 'prohibited',
  },
  6: {
    0: 'no route',
    1: 'prohibited',
    3: 'host unreachable',
    4: 'port unreachable',
    6: 'route rejected',
  },
};

/** Which request an answer belongs to. */
export interface EchoKey {
  id: number;
  sequence: number;
}

/** What came back for an echo request. */
export type IcmpAnswer =
  | ({ type: 'reply' } & EchoKey)
  /** A machine on the way had to fragment the packet and may not; `mtu` 0: it does not say what would pass. */
  | ({ type: 'too-big'; mtu: number } & EchoKey)
  | ({ type: 'unreachable'; why: string } & EchoKey);

/** An echo request. @param packetBytes size of the whole IP packet */
export function echoRequest(family: IpFamily, { id, sequence }: EchoKey, packetBytes: number): Buffer {
  const { request, headers } = types[family];
  const message = Buffer.alloc(ICMP_HEADER + Math.max(0, packetBytes - headers));
  message[0] = request;
  message.writeUInt16BE(id, 4);
  message.writeUInt16BE(sequence, 6);
  // That of ICMPv6 covers the addresses too and is filled in by the kernel.
  if (family === 4) message.writeUInt16BE(checksum(message), 2);
  return message;
}

/** RFC 1071, for a message of even length or not. */
function checksum(message: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 1 < message.length; at += 2) sum += message.readUInt16BE(at);
  if (message.length % 2 === 1) sum += message.at(-1)! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Reads an ICMP message from its header on; undefined for what answers no echo request. */
export function parseIcmp(family: IpFamily, message: Buffer): IcmpAnswer | undefined {
  if (message.length < ICMP_HEADER) return undefined;
  const [type, code] = [message[0]!, message[1]!];
  if (type === types[family].reply) return { type: 'reply', ...keyAt(message, 0) };
  const isTooBig =
    family === 4
      ? type === types[4].unreachable && code === FRAGMENTATION_NEEDED
      : type === PACKET_TOO_BIG && code === 0;
  if (!isTooBig && type !== types[family].unreachable) return undefined;
  const key = requestIn(family, message.subarray(ICMP_HEADER));
  if (key === undefined) return undefined;
  if (isTooBig)
    return { type: 'too-big', mtu: family === 4 ? message.readUInt16BE(6) : message.readUInt32BE(4), ...key };
  return { type: 'unreachable', why: unreachableTexts[family][code] ?? `unreachable, code ${code}`, ...key };
}

/** The echo request in the packet that an error quotes. */
function requestIn(family: IpFamily, packet: Buffer): EchoKey | undefined {
  const start = family === 4 ? ((packet[0] ?? 0) & 0xf) * 4 : IPV6_HEADER;
  const request = packet.subarray(start);
  if (request.length < ICMP_HEADER || request[0] !== types[family].request) return undefined;
  return keyAt(request, 0);
}

function keyAt(message: Buffer, at: number): EchoKey {
  return { id: message.readUInt16BE(at + 4), sequence: message.readUInt16BE(at + 6) };
}
