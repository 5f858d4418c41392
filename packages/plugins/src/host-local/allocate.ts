import { CniError, type PluginRequest, type ResultIp, toCniError } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { compareIp, formatIp, type IpAddress } from '@amphipod/netlink';
import type { HostLocalConfig } from './config.ts';
import { type FreeAddress, findFree } from './find-free.ts';
import { formatRangeSet, type RangeSet, rangeFor } from './range.ts';
import { ownerTexts, type Reservations } from './reservations.ts';

interface Wanted {
  set: RangeSet;
  /** Number of the set, which its last_reserved_ip file is named by. */
  setIndex: number;
  requested: IpAddress | undefined;
  containerID: string;
  ifName: string;
}

/** Reserves one address of each range set. @throws CniError with the reference's words */
export function allocate(
  { containerID, ifName }: Pick<PluginRequest, 'containerID' | 'ifName'>,
  { rangeSets, requested }: Pick<HostLocalConfig, 'rangeSets' | 'requested'>,
  { reservations, undo }: { reservations: Reservations; undo: UndoStack },
): ResultIp[] {
  const unused = [...requested];
  const ips = rangeSets.map((set, setIndex) => {
    const at = unused.findIndex((ip) => rangeFor(set, ip) !== undefined);
    const wanted = at < 0 ? undefined : unused.splice(at, 1)[0];
    try {
      return allocateOne(reservations, undo, { set, setIndex, requested: wanted, containerID, ifName });
    } catch (error) {
      const { number, msg, details } = toCniError(error);
      throw new CniError(number, `failed to allocate for range ${setIndex}: ${msg}`, {
        details,
        cause: error,
      });
    }
  });
  if (unused.length > 0) {
    throw new CniError('internal', `failed to allocate all requested IPs: ${unused.map(formatIp).join(' ')}`);
  }
  return ips;
}

function allocateOne(reservations: Reservations, undo: UndoStack, wanted: Wanted): ResultIp {
  refuseSecond(reservations, wanted);
  const { ip, range } =
    wanted.requested === undefined
      ? findFree(reservations, wanted, 'internal')
      : takeRequested(reservations, wanted, wanted.requested);
  const [owner] = ownerTexts(wanted.containerID, wanted.ifName);
  undo.defer(`release ${formatIp(ip)}`, () => {
    if (reservations.ownerOf(ip) === owner) reservations.release({ ip, owner });
  });
  reservations.reserve(ip, owner);
  reservations.setLast(wanted.setIndex, ip);
  return { address: `${formatIp(ip)}/${range.subnet.prefix}`, gateway: formatIp(range.gateway) };
}

function takeRequested(reservations: Reservations, { set }: Wanted, ip: IpAddress): FreeAddress {
  const range = rangeFor(set, ip)!;
  if (compareIp(ip, range.gateway) === 0) {
    throw new CniError('internal', `requested ip ${formatIp(ip)} is subnet's gateway`);
  }
  if (!reservations.isFree(ip)) {
    throw new CniError(
      'internal',
      `requested IP address ${formatIp(ip)} is not available in range set ${formatRangeSet(set)}`,
    );
  }
  return { ip, range };
}

/** One address of a set is enough for an attachment: a second ADD is an error (field case CNI-03). */
function refuseSecond(reservations: Reservations, { set, requested, containerID, ifName }: Wanted): void {
  const owners = ownerTexts(containerID, ifName);
  const own = reservations
    .ofContainer(containerID)
    .find(({ owner, ip }) => owners.includes(owner) && rangeFor(set, ip) !== undefined)?.ip;
  // The very address asked for gets the words for an address that is taken.
  if (own === undefined || (requested !== undefined && compareIp(own, requested) === 0)) return;
  throw new CniError(
    'internal',
    `${formatIp(own)} has been allocated to ${containerID}, duplicate allocation is not allowed`,
  );
}
