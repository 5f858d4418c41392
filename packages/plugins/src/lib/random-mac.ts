import { randomBytes } from 'node:crypto';

/** A hardware address that is locally administered and no multicast one. Given addresses stay; udev leaves them alone. */
export function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return bytes.toString('hex').replaceAll(/(..)(?=.)/g, '$1:');
}
