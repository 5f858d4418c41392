import { CniError, type CniErrorCode } from '@amphipod/cni';
import type { IpAddress } from '@amphipod/netlink';
import { candidates, familyOf, formatRangeSet, type IpRange, type RangeSet, rangeFor } from './range.ts';
import type { Reservations } from './reservations.ts';

/** Looks at this many files before it asks for all addresses at once. */
const FIRST_TRIES = 16;

export interface FreeAddress {
  ip: IpAddress;
  range: IpRange;
}

/** The next free address of a set, round robin. @throws CniError of this code when there is none, with how many are in use */
export function findFree(
  reservations: Reservations,
  { set, setIndex }: { set: RangeSet; setIndex: number },
  code: CniErrorCode,
): FreeAddress {
  const last = reservations.last(setIndex);
  for (const candidate of candidates(set, last).take(FIRST_TRIES)) {
    if (reservations.isFree(candidate.ip)) return candidate;
  }
  const family = familyOf(set);
  const used = new Set<bigint>();
  for (const ip of reservations.addresses()) if (ip.family === family) used.add(ip.value);
  for (const candidate of candidates(set, last)) {
    if (!used.has(candidate.ip.value) && reservations.isFree(candidate.ip)) return candidate;
  }
  throw new CniError(code, `no IP addresses available in range set: ${formatRangeSet(set)}`, {
    details: `${countIn(set, used)} addresses of it are in use`,
  });
}

function countIn(set: RangeSet, values: ReadonlySet<bigint>): number {
  const family = familyOf(set);
  let count = 0;
  for (const value of values) if (rangeFor(set, { family, value }) !== undefined) count += 1;
  return count;
}
