import { broadcastOf, type IpAddress, type IpFamily, ipBits, networkOf } from '@amphipod/netlink';
import type { NetBlock } from '../model/model.ts';

/** Ends included. */
export interface Range<T> {
  first: T;
  last: T;
}

/** The addresses of one family that are in some block, as ranges that neither overlap nor touch, in order. */
export function blockRanges(blocks: readonly NetBlock[], family: IpFamily): Range<IpAddress>[] {
  const ranges = blocks
    .filter(({ cidr }) => cidr.ip.family === family)
    .flatMap(({ cidr, except }) => {
      const holes = except.filter(({ ip }) => ip.family === family).map(rangeOf);
      return holes.reduce((rest, hole) => rest.flatMap((range) => without(range, hole)), [rangeOf(cidr)]);
    });
  return joinRanges(ranges, 1n).map(({ first, last }) => ({
    first: { family, value: first },
    last: { family, value: last },
  }));
}

function rangeOf(cidr: NetBlock['cidr']): Range<bigint> {
  return { first: networkOf(cidr).ip.value, last: broadcastOf(cidr).value };
}

function without(range: Range<bigint>, hole: Range<bigint>): Range<bigint>[] {
  if (hole.last < range.first || hole.first > range.last) return [range];
  return [
    { first: range.first, last: hole.first - 1n },
    { first: hole.last + 1n, last: range.last },
  ].filter(({ first, last }) => first <= last);
}

/** Ports in order, neither overlapping nor touching. */
export function portRanges(ports: readonly Range<number>[]): Range<number>[] {
  return joinRanges(ports, 1);
}

function joinRanges<T extends bigint | number>(ranges: readonly Range<T>[], one: T): Range<T>[] {
  const joined: Range<T>[] = [];
  for (const { first, last } of ranges.toSorted((a, b) =>
    a.first < b.first ? -1 : a.first > b.first ? 1 : 0,
  )) {
    const previous = joined.at(-1);
    // The sum of two values of one type, which TypeScript has no name for.
    if (previous === undefined || first > (previous.last as number) + (one as number)) {
      joined.push({ first, last });
    } else if (last > previous.last) previous.last = last;
  }
  return joined;
}

/** True when a range is all of the family. */
export function isEverything({ first, last }: Range<IpAddress>): boolean {
  return first.value === 0n && last.value === (1n << BigInt(ipBits(first.family))) - 1n;
}
