import { MessageWriter } from '../attributes.ts';
import { malformed } from '../errors.ts';
import { TCMSG } from './tc-constants.ts';

const MAX_U32 = 0xffff_ffff;

/** `MAJOR:MINOR` of a qdisc or class, as in `tc`: both of 16 bits. */
export function tcHandle(major: number, minor = 0): number {
  return ((major << 16) | minor) >>> 0;
}

/** What struct tcmsg says. */
export interface TcHeader {
  ifIndex: number;
  handle?: number;
  parent?: number;
  info?: number;
}

/** Begins a message with struct tcmsg. */
export function tcMessage(type: number, flags: number, header: TcHeader): MessageWriter {
  const message = new MessageWriter(256).message(type, flags);
  const bytes = message.header(TCMSG);
  bytes.writeInt32LE(header.ifIndex, 4);
  bytes.writeUInt32LE(header.handle ?? 0, 8);
  bytes.writeUInt32LE(header.parent ?? 0, 12);
  bytes.writeUInt32LE(header.info ?? 0, 16);
  return message;
}

/** @throws NetlinkError EPROTO */
export function readTcHeader(payload: Buffer): Required<TcHeader> {
  if (payload.length < TCMSG) throw malformed(`traffic control message of ${payload.length} bytes`);
  return {
    ifIndex: payload.readInt32LE(4),
    handle: payload.readUInt32LE(8),
    parent: payload.readUInt32LE(12),
    info: payload.readUInt32LE(16),
  };
}

/** The 32 bits of struct tc_ratespec; a rate that needs more goes into an attribute of its own. */
export function lowRate(bytesPerSecond: number): number {
  return Math.min(bytesPerSecond, MAX_U32);
}

/** The attribute for rates of more than 32 bits. */
export function writeRate64(message: MessageWriter, type: number, bytesPerSecond: number): void {
  if (bytesPerSecond <= MAX_U32) return;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(Math.trunc(bytesPerSecond)));
  message.bytesOf(type, bytes);
}

/** Reads such an attribute. @throws NetlinkError EPROTO */
export function readRate64(bytes: Buffer): number {
  if (bytes.length < 8) throw malformed(`rate of ${bytes.length} bytes`);
  return Number(bytes.readBigUInt64LE());
}
