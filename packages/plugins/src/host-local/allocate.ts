import { CniError, type ResultIp } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { compareIp, formatIp, type IpAddress } from '@amphipod/netlink';
import { candidates, formatRangeSet, type IpRange, type RangeSet, rangeFor } from './range.ts';
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
  const { set, setIndex, requested, owner } = allocation;
  const reserve = (ip: IpAddress): boolean => {
    let isReserved = false;
    undo.defer(`release ${formatIp(ip)}`, () => {
      if (isReserved) reservations.release(`${reservations.dir}/${formatIp(ip)}`, [owner]);
    });
    isReserved = reservations.reserve(ip, owner);
    return isReserved;
  };
  refuseSecond(allocation);
  const found =
    requested === undefined
      ? nextFree(reservations, allocation, reserve)
      : takeRequested(set, requested, reserve);
  reservations.setLast(setIndex, found.ip);
  return {
    address: `${formatIp(found.ip)}/${found.range.subnet.prefix}`,
    gateway: formatIp(found.range.gateway),
  };
}

interface Found {
  ip: IpAddress;
  range: IpRange;
}

function takeRequested(set: RangeSet, ip: IpAddress, reserve: (ip: IpAddress) => boolean): Found {
  const range = rangeFor(set, ip)!;
  if (compareIp(ip, range.gateway) === 0) {
    throw new CniError('internal', `requested ip ${formatIp(ip)} is subnet's gateway`);
  }
  if (!reserve(ip)) {
    throw new CniError(
      'internal',
      `requested IP address ${formatIp(ip)} is not available in range set ${formatRangeSet(set)}`,
    );
  }
  return { ip, range };
}

function nextFree(
  reservations: Reservations,
  { set, setIndex, taken }: Allocation,
  reserve: (ip: IpAddress) => boolean,
): Found {
  const used = new Set(taken.map(({ ip }) => ip.value));
  for (const candidate of candidates(set, reservations.last(setIndex))) {
    if (!used.has(candidate.ip.value) && reserve(candidate.ip)) return candidate;
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
