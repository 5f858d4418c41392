import { malformed } from './errors.ts';
import type { IpAddress } from './ip.ts';
import { formatMac, formatMac6 } from './mac.ts';

const HEADER = 4;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER: include/uapi/linux/netlink.h. */
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
const MESSAGE_HEADER = 16;

/** Rounds up to the 4 bytes that netlink aligns everything to. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** Appends netlink messages and attributes to one growing buffer; numbers are little-endian unless the name says be. */
export class MessageWriter {
  #buffer: Buffer;
  #length = 0;
  #message = 0;

  constructor(capacity = 512) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  /** Starts a message (struct nlmsghdr); sequence and length are filled in later. */
  message(type: number, flags: number): this {
    this.#message = this.#reserve(MESSAGE_HEADER);
    this.#buffer.fill(0, this.#message, this.#length);
    this.#buffer.writeUInt16LE(type, this.#message + 4);
    this.#buffer.writeUInt16LE(flags, this.#message + 6);
    return this;
  }

  /** Ends the message begun last: its length and sequence number. */
  finish(sequence: number): void {
    this.#buffer.writeUInt32LE(this.#length - this.#message, this.#message);
    this.#buffer.writeUInt32LE(sequence, this.#message + 8);
  }

  /** Sets further flags of the message begun last. */
  addFlags(flags: number): void {
    const at = this.#message + 6;
    this.#buffer.writeUInt16LE(this.#buffer.readUInt16LE(at) | flags, at);
  }

  /** Takes flags of the message begun last away. */
  clearFlags(flags: number): void {
    const at = this.#message + 6;
    this.#buffer.writeUInt16LE(this.#buffer.readUInt16LE(at) & ~flags, at);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** What was written so far; valid until the next write. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Zeroed room for a fixed header; gives the place to write it to, valid until the next write. */
  header(size: number): Buffer {
    const at = this.#reserve(align4(size));
    return this.#buffer.subarray(at, at + size).fill(0);
  }

  u8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#buffer.writeUInt8(value, at);
  }

  u16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#buffer.writeUInt16LE(value, at);
  }

  u16be(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#buffer.writeUInt16BE(value, at);
  }

  u32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
  }

  u32be(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
  }

  u64be(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#buffer.writeBigUInt64BE(value, at);
  }

  /** A string with the closing zero that the kernel expects. */
  string(type: number, value: string): void {
    // The kernel would see only what is before it: another name than the caller meant.
    if (value.includes('\0')) throw new RangeError(`write netlink attribute ${type}: text with a zero byte`);
    const size = Buffer.byteLength(value);
    const at = this.#attribute(type, size + 1);
    this.#buffer.write(value, at, size);
    this.#buffer[at + size] = 0;
  }

  bytesOf(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.#buffer.set(value, at);
  }

  /** An attribute without a value. */
  flag(type: number): void {
    this.#attribute(type, 0);
  }

  /** An attribute whose value is what `fill` writes (NLA_F_NESTED). */
  nested(type: number, fill: () => void): void {
    this.sized(HEADER, (header) => {
      header.writeUInt16LE(type | NESTED, 2);
      fill();
    });
  }

  /** A structure that begins with its own length in 16 bits: a zeroed header of `size` bytes, then what `fill` writes. */
  sized(size: number, fill: (header: Buffer) => void): void {
    const at = this.#length;
    fill(this.header(size));
    const total = this.#length - at;
    if (total > 0xffff) throw new RangeError(`write netlink attribute: ${total} bytes exceed 65535`);
    this.#buffer.writeUInt16LE(total, at);
  }

  /** Makes room for a value and gives its place. May replace the buffer: look at #buffer only afterwards. */
  #attribute(type: number, size: number): number {
    if (size + HEADER > 0xffff)
      throw new RangeError(`write netlink attribute ${type}: ${size} bytes exceed 65531`);
    const at = this.#reserve(HEADER + align4(size));
    this.#buffer.writeUInt16LE(size + HEADER, at);
    this.#buffer.writeUInt16LE(type, at + 2);
    for (let pad = at + HEADER + size; pad < this.#length; pad++) this.#buffer[pad] = 0;
    return at + HEADER;
  }

  #reserve(size: number): number {
    const at = this.#length;
    if (at + size > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + size));
      grown.set(this.#buffer.subarray(0, at));
      this.#buffer = grown;
    }
    this.#length = at + size;
    return at;
  }
}

/**
 * Walks the attributes in a stretch of a message without copying: `while (attrs.next()) switch (attrs.type) …`.
 * Values are bounds-checked: a message that does not hold together gives a NetlinkError EPROTO, nothing else.
 */
export class AttributeReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #next: number;
  #at = 0;
  /** Number of the attribute that {@link next} found, without the NLA_F_ bits. */
  type = 0;
  /** Size of its value in bytes. */
  size = 0;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.#buffer = buffer;
    this.#next = start;
    this.#end = end;
  }

  /** Moves to the next attribute; false at the end. */
  next(): boolean {
    const left = this.#end - this.#next;
    if (left < HEADER) return false;
    const length = this.#buffer.readUInt16LE(this.#next);
    if (length < HEADER || length > left)
      throw malformed(`attribute of ${length} bytes where ${left} are left`);
    this.type = this.#buffer.readUInt16LE(this.#next + 2) & TYPE_MASK;
    this.size = length - HEADER;
    this.#at = this.#next + HEADER;
    this.#next += align4(length);
    return true;
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#value(1));
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#value(2));
  }

  u16be(): number {
    return this.#buffer.readUInt16BE(this.#value(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#value(4));
  }

  i32(): number {
    return this.#buffer.readInt32LE(this.#value(4));
  }

  u32be(): number {
    return this.#buffer.readUInt32BE(this.#value(4));
  }

  u64be(): bigint {
    return this.#buffer.readBigUInt64BE(this.#value(8));
  }

  /** Text up to the first zero byte. */
  string(): string {
    const bytes = this.bytes();
    const zero = bytes.indexOf(0);
    return bytes.toString('utf8', 0, zero < 0 ? bytes.length : zero);
  }

  /** A view of the value, not a copy. */
  bytes(): Buffer {
    return this.#buffer.subarray(this.#at, this.#at + this.size);
  }

  /** An address of 4 or 16 bytes; `size`, when given, says which it has to be. */
  ip(size = this.size): IpAddress {
    if (this.size !== size || (size !== 4 && size !== 16)) {
      throw malformed(`attribute ${this.type} of ${this.size} bytes where an address is due`);
    }
    // Read in place: a table of many thousands is full of them.
    const [buffer, at] = [this.#buffer, this.#at];
    if (size === 4) return { family: 4, value: BigInt(buffer.readUInt32BE(at)) };
    return { family: 6, value: (buffer.readBigUInt64BE(at) << 64n) | buffer.readBigUInt64BE(at + 8) };
  }

  /** A hardware address as text, of whatever length. */
  mac(): string {
    return this.size === 6 ? formatMac6(this.#buffer, this.#at) : formatMac(this.bytes());
  }

  /** The attributes inside this one; `skip` bytes of fixed header before them. */
  nested(skip = 0): AttributeReader {
    this.#value(skip);
    return new AttributeReader(this.#buffer, this.#at + skip, this.#at + this.size);
  }

  #value(least: number): number {
    if (this.size < least) throw malformed(`attribute ${this.type} of ${this.size} bytes, expected ${least}`);
    return this.#at;
  }
}
