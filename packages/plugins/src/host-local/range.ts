import { CniError } from '@amphipod/cni';
import {
  broadcastOf,
  type Cidr,
  compareIp,
  contains,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpFamily,
  ipBits,
  networkOf,
  nextIp,
  previousIp,
} from '@amphipod/netlink';

/** Addresses that may be given out, all of one network. */
export interface IpRange {
  subnet: Cidr;
  /** First and last address, both included. */
  start: IpAddress;
  end: IpAddress;
  gateway: IpAddress;
}

/** Ranges that stand for one another: an attachment gets one address of each set. */
export type RangeSet = readonly IpRange[];

/** Fills in what is not given. @throws CniError invalid-network-config with the range's key and the reference's words */
export function completeRange({
  subnet,
  start,
  end,
  gateway,
}: Pick<IpRange, 'subnet'> & Partial<IpRange>): IpRange {
  const network = networkOf(subnet);
  const { family } = subnet.ip;
  // Network, broadcast and gateway leave nothing of smaller ones.
  if (subnet.prefix > ipBits(family) - 2) {
    throw invalid(`Network ${formatCidr(subnet)} too small to allocate from`, 'subnet');
  }
  if (network.ip.value !== subnet.ip.value) {
    throw invalid(
      `Network has host bits set. For a subnet mask of length ${subnet.prefix} the network address is ${formatIp(network.ip)}`,
      'subnet',
    );
  }
  const first = nextIp(network.ip)!;
  const last = family === 4 ? previousIp(broadcastOf(network))! : broadcastOf(network);
  const isInside = (ip: IpAddress) => contains(network, ip);
  const range = { subnet, start: start ?? first, end: end ?? last, gateway: gateway ?? first };
  if (!isInside(range.start)) {
    throw invalid(`RangeStart ${formatIp(range.start)} not in network ${formatCidr(subnet)}`, 'rangeStart');
  }
  if (!isInside(range.end) || compareIp(range.end, range.start) < 0) {
    throw invalid(`RangeEnd ${formatIp(range.end)} not in network ${formatCidr(subnet)}`, 'rangeEnd');
  }
  return range;
}

/** @throws CniError when the ranges of a set are of two families or overlap */
export function checkRangeSet(set: RangeSet): void {
  if (set.length === 0) throw invalid('empty range set');
  for (const [i, range] of set.entries()) {
    if (range.subnet.ip.family !== set[0]!.subnet.ip.family) throw invalid('mixed address families');
    for (const other of set.slice(i + 1)) {
      if (rangesOverlap(range, other)) {
        throw invalid(`subnets ${formatRange(range)} and ${formatRange(other)} overlap`);
      }
    }
  }
}

export function setsOverlap(a: RangeSet, b: RangeSet): boolean {
  return a.some((range) => b.some((other) => rangesOverlap(range, other)));
}

function rangesOverlap(a: IpRange, b: IpRange): boolean {
  if (a.subnet.ip.family !== b.subnet.ip.family) return false;
  return compareIp(a.start, b.end) <= 0 && compareIp(b.start, a.end) <= 0;
}

/** The range of the set that an address lies in. */
export function rangeFor(set: RangeSet, ip: IpAddress): IpRange | undefined {
  return set.find(
    ({ subnet, start, end }) =>
      subnet.ip.family === ip.family && compareIp(ip, start) >= 0 && compareIp(ip, end) <= 0,
  );
}

export function familyOf(set: RangeSet): IpFamily {
  return set[0]!.subnet.ip.family;
}

function formatRange({ start, end }: IpRange): string {
  return `${formatIp(start)}-${formatIp(end)}`;
}

/** `10.1.2.1-10.1.2.254,10.1.3.1-10.1.3.254`. */
export function formatRangeSet(set: RangeSet): string {
  return set.map(formatRange).join(',');
}

/**
 * Every address of the set once, round robin from the one after `last`; gateways are left out, each range's own.
 */
export function* candidates(
  set: RangeSet,
  last: IpAddress | undefined,
): Generator<{ ip: IpAddress; range: IpRange }> {
  const lastIndex = last === undefined ? -1 : set.findIndex((range) => rangeFor([range], last) !== undefined);
  let index = Math.max(lastIndex, 0);
  let ip = lastIndex < 0 ? set[0]!.start : last!;
  if (lastIndex >= 0) ({ index, ip } = following(set, index, ip));
  const first = ip;
  do {
    const range = set[index]!;
    if (compareIp(ip, range.gateway) !== 0) yield { ip, range };
    ({ index, ip } = following(set, index, ip));
  } while (compareIp(ip, first) !== 0);
}

function following(set: RangeSet, index: number, ip: IpAddress): { index: number; ip: IpAddress } {
  if (compareIp(ip, set[index]!.end) !== 0) return { index, ip: nextIp(ip)! };
  const next = (index + 1) % set.length;
  return { index: next, ip: set[next]!.start };
}

function invalid(message: string, key?: string): CniError {
  return new CniError('invalid-network-config', message, key === undefined ? {} : { key });
}
