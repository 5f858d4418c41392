import { type Cidr, ipBits, ipToBytes, type U32FilterSpec, type U32Key } from '@amphipod/netlink';

/** Which address of a packet. */
export type Side = 'source' | 'destination';

/** Where addresses are, in bytes from the start of the network header; filters of one priority are for one protocol. */
const families = {
  4: { protocol: 'ip', priority: 16, source: 12, destination: 16 },
  6: { protocol: 'ipv6', priority: 15, source: 8, destination: 24 },
} as const;

/** What matches packets with an address of the subnet. */
export function subnetFilter(
  { ip, prefix }: Cidr,
  side: Side,
): Pick<U32FilterSpec, 'protocol' | 'priority'> & { keys: U32Key[] } {
  const { protocol, priority, [side]: start } = families[ip.family];
  const bytes = Buffer.from(ipToBytes(ip));
  const keys: U32Key[] = [];
  for (let bit = 0; bit < ipBits(ip.family) && bit < prefix; bit += 32) {
    const ones = Math.min(prefix - bit, 32);
    const mask = (0xffff_ffff << (32 - ones)) >>> 0;
    keys.push({ offset: start + bit / 8, mask, value: (bytes.readUInt32BE(bit / 8) & mask) >>> 0 });
  }
  return { protocol, priority, keys };
}
