import { randomUUID } from 'node:crypto';

/** True for `02:00:00:0a:0b:0c`. */
export function isMac(text: string): boolean {
  return /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text);
}

/** Reads `02:00:00:0a:0b:0c`. @throws RangeError */
export function parseMac(text: string): Buffer {
  if (!isMac(text)) {
    throw new RangeError(`parse mac address ${JSON.stringify(text)}: not six bytes in hexadecimal`);
  }
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

const hexByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** `02:00:00:0a:0b:0c`; also for hardware addresses of other lengths. */
export function formatMac(bytes: Uint8Array): string {
  if (bytes.length === 6) return formatMac6(bytes, 0);
  return Array.from(bytes, (byte) => hexByte[byte]).join(':');
}

/** {@link formatMac} for the six bytes from a place on. */
export function formatMac6(bytes: Uint8Array, at: number): string {
  const hex = (index: number) => hexByte[bytes[at + index]!];
  return `${hex(0)}:${hex(1)}:${hex(2)}:${hex(3)}:${hex(4)}:${hex(5)}`;
}

/** Where the version stands in a UUID without its dashes; the variant stands in the 17th digit. */
const VERSION_DIGIT = 12;

/** A hardware address that is locally administered and no multicast one. Given addresses stay; udev leaves them alone. */
export function randomMac(): string {
  // A UUID comes out of a pool of randomness, at a tenth of the time that randomBytes takes.
  const digits = randomUUID().replaceAll('-', '').slice(0, VERSION_DIGIT);
  const first = (Number.parseInt(digits.slice(0, 2), 16) & 0xfc) | 0x02;
  let mac = first.toString(16).padStart(2, '0');
  for (let at = 2; at < VERSION_DIGIT; at += 2) mac += `:${digits.slice(at, at + 2)}`;
  return mac;
}
