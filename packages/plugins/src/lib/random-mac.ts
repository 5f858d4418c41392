import { randomBytes } from 'node:crypto';

/** A hardware address that is locally administered and no multicast one. Given addresses stay; udev leaves them alone. */
export function randomMac(): string {
  return randomMacs(1)[0]!;
}

/** Several at once, which costs no more than one. */
export function randomMacs(count: number): string[] {
  const bytes = randomBytes(6 * count);
  return Array.from({ length: count }, (_, i) => {
    const first = (bytes[6 * i]! & 0xfc) | 0x02;
    const hex = (first.toString(16).padStart(2, '0') + bytes.toString('hex', 6 * i + 1, 6 * i + 6)).match(
      /../g,
    )!;
    return hex.join(':');
  });
}
