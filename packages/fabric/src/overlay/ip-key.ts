import type { Cidr, IpAddress } from '@amphipod/netlink';

const HALF = 64n;

/**
 * An address as the key of a map, among those of its family. A map puts big numbers in order by their last 64 bits, in which the
 * networks of IPv6 do not differ: here both halves are mixed into them.
 */
export function ipKey({ family, value }: IpAddress): bigint {
  if (family === 4) return value;
  return (value << HALF) | BigInt.asUintN(64, (value >> HALF) ^ value);
}

/** A network as the key of a map, among those of its family. */
export function cidrKey({ ip, prefix }: Cidr): bigint {
  return (ipKey(ip) << 8n) | BigInt(prefix);
}
