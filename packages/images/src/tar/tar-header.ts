import { ImageError } from '../errors.ts';

// Fields of a tar header block (512 bytes): POSIX.1-1988 ustar, GNU and star. Names are byte strings (latin1).

export const blockSize = 512;

/** A header block's fields, before extensions. */
export interface TarHeader {
  name: string;
  linkName: string;
  typeFlag: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeNs: bigint;
  devMajor: number;
  devMinor: number;
}

/** Reads a header block. @throws ImageError invalid-archive */
export function parseTarHeader(block: Buffer): TarHeader {
  verifyChecksum(block);
  const magic = block.toString('latin1', 257, 265);
  const isPosix = magic.startsWith('ustar\0');
  const isStar = isPosix && block.toString('latin1', 508, 512) === 'tar\0';
  const name = cString(block, 0, 100);
  const prefix = isPosix ? cString(block, 345, isStar ? 131 : 155) : '';
  const hasDevice = magic.startsWith('ustar');
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: cString(block, 157, 100),
    typeFlag: block[156] === 0 ? '0' : String.fromCharCode(block[156]!),
    mode: tarNumber(block, 100, 8, 'mode') & 0o7777,
    uid: tarNumber(block, 108, 8, 'uid'),
    gid: tarNumber(block, 116, 8, 'gid'),
    size: tarSize(block, 124, 12, 'size'),
    mtimeNs: BigInt(tarNumber(block, 136, 12, 'mtime')) * 1_000_000_000n,
    devMajor: hasDevice ? tarNumber(block, 329, 8, 'device') : 0,
    devMinor: hasDevice ? tarNumber(block, 337, 8, 'device') : 0,
  };
}

/** A numeric field: octal text, or base-256 when the top bit of its first byte is set (GNU; two's complement). */
function tarNumber(block: Buffer, offset: number, length: number, what: string): number {
  const first = block[offset]!;
  if ((first & 0x80) !== 0) return base256(block, offset, length, what);
  let value = 0;
  let i = offset;
  const end = offset + length;
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++;
  for (; i < end; i++) {
    const digit = block[i]! - 0x30;
    if (digit >= 0 && digit <= 7) value = value * 8 + digit;
    else if (block[i] === 0x20 || block[i] === 0) break;
    else throw invalid(`${what} is not a number`);
  }
  return value;
}

/** A numeric field that must not be negative. */
export function tarSize(block: Buffer, offset: number, length: number, what: string): number {
  const value = tarNumber(block, offset, length, what);
  if (value < 0) throw invalid(`${what} is negative`);
  return value;
}

function base256(block: Buffer, offset: number, length: number, what: string): number {
  const negative = (block[offset]! & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let i = offset; i < offset + length; i++) {
    const byte = i === offset ? (block[i]! & 0x3f) | (negative ? 0xc0 : 0) : block[i]!;
    value = (value << 8n) | BigInt(byte);
  }
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalid(`${what} is too large`);
  return number;
}

/** Bytes up to the first NUL, one character each. */
export function cString(block: Buffer, offset: number, length: number): string {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end++;
  return block.toString('latin1', offset, end);
}

function verifyChecksum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < blockSize; i++) {
    // The sum counts its own field as spaces.
    const byte = i >= 148 && i < 156 ? 0x20 : block[i]!;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const stored = tarNumber(block, 148, 8, 'checksum');
  // Some old writers summed signed characters.
  if (stored !== unsigned && stored !== signed) throw invalid('header checksum does not match');
}

function invalid(cause: string): ImageError {
  return new ImageError('invalid-archive', `read tar header: ${cause}`);
}
