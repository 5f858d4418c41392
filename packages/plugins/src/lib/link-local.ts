import { isCode } from '@amphipod/linux';
import {
  addrAdd,
  addrDel,
  addrList,
  type Cidr,
  ipFromBytes,
  type Link,
  parseMac,
  type Rtnl,
} from '@amphipod/netlink';
import { trySysctl } from './settings.ts';

/**
 * Gives a link of the host a link-local address that is usable at once. The kernel's own is tentative for up to two seconds after
 * the first port comes up, and with no other the machine asks for no neighbour on behalf of others: the first IPv6
 * packets to a pod through the machine would be lost (field case NET-04; net/ipv6/ndisc.c, ndisc_send_ns).
 */
export function ensureLinkLocal(rtnl: Rtnl, { ifIndex, name }: Link, mac: string): void {
  const found = addrList(rtnl, { ifIndex, family: 6 }).filter(({ cidr }) => isLinkLocal(cidr));
  if (found.some(({ flags }) => !flags.tentative)) return;
  // IN6_ADDR_GEN_MODE_NONE: the kernel makes no other.
  trySysctl(`net/ipv6/conf/${name}/addr_gen_mode`, '1');
  for (const { cidr } of found) addrDel(rtnl, ifIndex, cidr);
  try {
    addrAdd(rtnl, ifIndex, linkLocalOf(mac), { noDad: true });
  } catch (error) {
    // Another ADD on this bridge was first.
    if (!isCode(error, 'EEXIST')) throw error;
  }
}

/** `fe80::/64` with the modified EUI-64 of a hardware address (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): Cidr {
  const [a, b, c, d, e, f] = parseMac(mac) as unknown as [number, number, number, number, number, number];
  const bytes = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f);
  return { ip: ipFromBytes(bytes), prefix: 64 };
}

function isLinkLocal({ ip }: Cidr): boolean {
  return ip.value >> 118n === 0xfe80n >> 6n;
}
