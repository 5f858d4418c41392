import { formatIp, type IpAddress, ipFromBytes, ipToBytes } from '@amphipod/netlink';

/** Options by number (RFC 2132). */
export type DhcpOptions = ReadonlyMap<number, Buffer>;

/** RFC 2131 section 2, as far as a client looks at it. */
export interface DhcpMessage {
  xid: number;
  secs: number;
  /** The server is to answer by broadcast. */
  broadcast: boolean;
  /** The client's address while it has one. */
  ciaddr: IpAddress | undefined;
  /** The address that a server gives. */
  yiaddr: IpAddress | undefined;
  /** The client's hardware address, 6 bytes. */
  chaddr: Buffer;
  options: DhcpOptions;
}

export const OPTION = {
  subnetMask: 1,
  router: 3,
  dns: 6,
  hostName: 12,
  domain: 15,
  staticRoutes: 33,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  maxMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientId: 61,
  userClass: 77,
  classlessRoutes: 121,
} as const;

export const TYPE = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6, release: 7 } as const;

const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const ETHERNET = 1;
const MAGIC = 0x63825363;
const BROADCAST_FLAG = 0x8000;
const HEADER_BYTES = 240;
const SNAME = [44, 108] as const;
const FILE = [108, 236] as const;
/** Relay agents drop shorter messages (RFC 1542). */
const MIN_BYTES = 300;
const PAD = 0;
const END = 255;

export function encodeMessage(message: DhcpMessage): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head[0] = BOOTREQUEST;
  head[1] = ETHERNET;
  head[2] = message.chaddr.length;
  head.writeUInt32BE(message.xid, 4);
  head.writeUInt16BE(Math.min(message.secs, 0xffff), 8);
  head.writeUInt16BE(message.broadcast ? BROADCAST_FLAG : 0, 10);
  if (message.ciaddr !== undefined) ipToBytes(message.ciaddr).copy(head, 12);
  message.chaddr.copy(head, 28);
  head.writeUInt32BE(MAGIC, 236);
  const options = [...message.options].flatMap(([code, value]) => encodeOption(code, value));
  const whole = Buffer.concat([head, ...options, Buffer.from([END])]);
  return Buffer.concat([whole, Buffer.alloc(Math.max(0, MIN_BYTES - whole.length))]);
}

/** Longer values go in several pieces (RFC 3396). */
function encodeOption(code: number, value: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const piece = value.subarray(at, at + 255);
    pieces.push(Buffer.from([code, piece.length]), piece);
  }
  return pieces;
}

/** A server's answer; undefined for what is none. */
export function decodeReply(bytes: Buffer): DhcpMessage | undefined {
  if (bytes.length < HEADER_BYTES || bytes[0] !== BOOTREPLY || bytes.readUInt32BE(236) !== MAGIC)
    return undefined;
  const options = new Map<number, Buffer>();
  readOptions(bytes.subarray(HEADER_BYTES), options);
  const overload = options.get(OPTION.overload)?.[0] ?? 0;
  if ((overload & 1) !== 0) readOptions(bytes.subarray(...FILE), options);
  if ((overload & 2) !== 0) readOptions(bytes.subarray(...SNAME), options);
  return {
    xid: bytes.readUInt32BE(4),
    secs: bytes.readUInt16BE(8),
    broadcast: (bytes.readUInt16BE(10) & BROADCAST_FLAG) !== 0,
    ciaddr: readAddress(bytes, 12),
    yiaddr: readAddress(bytes, 16),
    chaddr: bytes.subarray(28, 34),
    options,
  };
}

function readAddress(bytes: Buffer, at: number): IpAddress | undefined {
  const ip = ipFromBytes(bytes.subarray(at, at + 4));
  return ip.value === 0n ? undefined : ip;
}

function readOptions(area: Buffer, options: Map<number, Buffer>): void {
  for (let at = 0; at < area.length; ) {
    const code = area[at]!;
    if (code === END) return;
    const length = code === PAD ? -1 : area[at + 1];
    // Cut off in the middle.
    if (length === undefined || at + 2 + length > area.length) return;
    if (code !== PAD) {
      const value = area.subarray(at + 2, at + 2 + length);
      const before = options.get(code);
      options.set(code, before === undefined ? value : Buffer.concat([before, value]));
    }
    at += 2 + length;
  }
}

export function messageType({ options }: DhcpMessage): number | undefined {
  return options.get(OPTION.messageType)?.[0];
}

/** Addresses of an option, 4 bytes each. */
export function readAddresses(options: DhcpOptions, code: number): string[] {
  const value = options.get(code) ?? Buffer.alloc(0);
  return Array.from({ length: Math.floor(value.length / 4) }, (_, i) =>
    formatIp(ipFromBytes(value.subarray(i * 4, i * 4 + 4))),
  );
}

/** A time in seconds. */
export function readSeconds(options: DhcpOptions, code: number): number | undefined {
  const value = options.get(code);
  return value?.length === 4 ? value.readUInt32BE(0) : undefined;
}
