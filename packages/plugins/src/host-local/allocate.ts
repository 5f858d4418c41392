import { CniError, type ResultIp } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { compareIp, formatIp, type IpAddress } from '@amphipod/netlink';
import { candidates, familyOf, formatRangeSet, type IpRange, type RangeSet, rangeFor } from './range.ts';
import type { Reservation, Reservations } from './reservations.ts';

export interface Allocation {
  set: RangeSet;
  /** Number of the set, which its last_reserved_ip file is named by. */
  setIndex: number;
  requested: IpAddress | undefined;
  containerID: string;
  owner: string;
  /** What is taken already. */
  taken: readonly Reservation[];
}

/** Reserves one address of a range set. @throws CniError with the reference's words */
export function allocate(reservations: Reservations, undo: UndoStack, allocation: Allocation): ResultIp {
  const { setIndex, requested, owner } = allocation;
  refuseSecond(allocation);
  const { ip, range } =
    requested === undefined ? nextFree(reservations, allocation) : takeRequested(allocation, requested);
  undo.defer(`release ${formatIp(ip)}`, () => {
    reservations.release(`${reservations.dir}/${formatIp(ip)}`, [owner]);
  });
  reservations.reserve(ip, owner);
  reservations.setLast(setIndex, ip);
  return { address: `${formatIp(ip)}/${range.subnet.prefix}`, gateway: formatIp(range.gateway) };
}

interface Found {
  ip: IpAddress;
  range: IpRange;
}

function takeRequested({ set, taken }: Allocation, ip: IpAddress): Found {
  const range = rangeFor(set, ip)!;
  if (compareIp(ip, range.gateway) === 0) {
    throw new CniError('internal', `requested ip ${formatIp(ip)} is subnet's gateway`);
  }
  if (taken.some((reservation) => compareIp(reservation.ip, ip) === 0)) {
    throw new CniError(
      'internal',
      `requested IP address ${formatIp(ip)} is not available in range set ${formatRangeSet(set)}`,
    );
  }
  return { ip, range };
}

function nextFree(reservations: Reservations, { set, setIndex, taken }: Allocation): Found {
  const used = new Set(taken.filter(({ ip }) => ip.family === familyOf(set)).map(({ ip }) => ip.value));
  for (const candidate of candidates(set, reservations.last(setIndex))) {
    if (!used.has(candidate.ip.value)) return candidate;
  }
  throw new CniError('internal', `no IP addresses available in range set: ${formatRangeSet(set)}`, {
    details: `${taken.filter(({ ip }) => rangeFor(set, ip) !== undefined).length} addresses of it are in use`,
  });
}

/** One address of a set is enough for an attachment: a second ADD is an error (field case CNI-03). */
function refuseSecond({ set, requested, containerID, owner, taken }: Allocation): void {
  const own = taken.find(
    (reservation) => reservation.owner === owner && rangeFor(set, reservation.ip) !== undefined,
  );
  // The very address asked for gets the words for an address that is taken.
  if (own === undefined || (requested !== undefined && compareIp(own.ip, requested) === 0)) return;
  throw new CniError(
    'internal',
    `${formatIp(own.ip)} has been allocated to ${containerID}, duplicate allocation is not allowed`,
  );
}
