import { isDeepStrictEqual } from 'node:util';
import { type Cidr, formatCidr, type IpAddress, ipBits, ipPlus, parseCidr } from '@amphipod/netlink';
import type { AllocationAttribute, IpamBlock } from '../resources/ipam-block.ts';
import { timeText } from '../resources/resource-store.ts';

const NANOSECONDS = 1_000_000n;

/** Whose an address shall be. */
export interface Owner {
  readonly handleId: string;
  /** For people and for `ipam check`: `node`, `pod`, `namespace`, `timestamp`. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** `host:NODE`, as a block names the node that it belongs to. */
export function affinityOf(node: string): string {
  return `host:${node}`;
}

/** The node that a block belongs to; undefined when it belongs to none. */
export function nodeOf({ affinity }: IpamBlock): string | undefined {
  return affinity?.startsWith('host:') ? affinity.slice('host:'.length) : undefined;
}

/** A block of which nothing is taken. Its sequence number is later than that of any block that was here before. */
export function freshBlock(cidr: Cidr, node: string, nowMs: number): IpamBlock {
  const size = 2 ** (ipBits(cidr.ip.family) - cidr.prefix);
  return {
    cidr: formatCidr(cidr),
    affinity: affinityOf(node),
    affinity_claim_time: timeText(new Date(nowMs)),
    allocations: new Array<null>(size).fill(null),
    unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
    attributes: [],
    sequenceNumber: BigInt(nowMs) * NANOSECONDS,
    sequenceNumberForAllocation: {},
    deleted: false,
  };
}

/** The block's n-th address. */
export function addressAt(block: IpamBlock, ordinal: number): IpAddress {
  return ipPlus(parseCidr(block.cidr).ip, BigInt(ordinal))!;
}

/** The place of an address in the block; undefined for one of elsewhere. */
export function ordinalOf(block: IpamBlock, ip: IpAddress): number | undefined {
  const base = parseCidr(block.cidr).ip;
  const offset = ip.value - base.value;
  const isInside = ip.family === base.family && offset >= 0n && offset < BigInt(block.allocations.length);
  return isInside ? Number(offset) : undefined;
}

/** The attribute of an ordinal; undefined for a free one. */
export function attributeAt(block: IpamBlock, ordinal: number): AllocationAttribute | undefined {
  const index = block.allocations[ordinal];
  return index == null ? undefined : block.attributes[index];
}

/** Ordinals that this handle holds. */
export function ordinalsOf(block: IpamBlock, handleId: string): number[] {
  return block.allocations.flatMap((_index, ordinal) =>
    attributeAt(block, ordinal)?.handle_id === handleId ? [ordinal] : [],
  );
}

/** True when nothing of the block is taken; what cools down counts as taken. */
export function isEmpty({ allocations }: IpamBlock): boolean {
  return allocations.every((index) => index === null);
}

/** Free ordinals in the order in which they are given out. */
export function freeOrdinals(block: IpamBlock, isReserved: (ip: IpAddress) => boolean): number[] {
  return block.unallocated.filter((ordinal) => !isReserved(addressAt(block, ordinal)));
}

/** The block with these free ordinals taken. */
export function take(block: IpamBlock, ordinals: readonly number[], owner: Owner): IpamBlock {
  const attribute: AllocationAttribute = {
    handle_id: owner.handleId,
    ...(Object.keys(owner.attributes).length > 0 && { secondary: owner.attributes }),
  };
  const known = block.attributes.findIndex((one) => isDeepStrictEqual(one, attribute));
  const index = known < 0 ? block.attributes.length : known;
  return next(block, {
    allocations: block.allocations.map((old, ordinal) => (ordinals.includes(ordinal) ? index : old)),
    unallocated: block.unallocated.filter((ordinal) => !ordinals.includes(ordinal)),
    attributes: known < 0 ? [...block.attributes, attribute] : block.attributes,
    sequenceNumberForAllocation: withSequence(block, ordinals),
  });
}

/** The block with these ordinals given back. They can be taken again after the cool-down, behind all that are free now. */
export function giveBack(
  block: IpamBlock,
  ordinals: readonly number[],
  { nowMs, cooldownSeconds }: Cooling,
): IpamBlock {
  const index = block.attributes.length;
  const cooling = next(block, {
    allocations: block.allocations.map((old, ordinal) => (ordinals.includes(ordinal) ? index : old)),
    attributes: [...block.attributes, { releasedAt: timeText(new Date(nowMs)) }],
    sequenceNumberForAllocation: withSequence(block, ordinals),
  });
  return thaw(cooling, { nowMs, cooldownSeconds });
}

export interface Cooling {
  nowMs: number;
  cooldownSeconds: number;
}

/** The block as it is now: what has cooled down is free, and attributes that nobody uses are gone. */
export function thaw(block: IpamBlock, { nowMs, cooldownSeconds }: Cooling): IpamBlock {
  const isCool = ({ releasedAt }: AllocationAttribute) =>
    // Times are of whole seconds: one more, lest it be less.
    releasedAt !== undefined &&
    (cooldownSeconds === 0 || Date.parse(releasedAt) + (cooldownSeconds + 1) * 1000 <= nowMs);
  const freed = block.allocations.flatMap((index, ordinal) =>
    index !== null && isCool(block.attributes[index]!) ? [ordinal] : [],
  );
  const isFreed = new Set(freed);
  const used = new Set(block.allocations.filter((_index, ordinal) => !isFreed.has(ordinal)));
  if (freed.length === 0 && block.attributes.every((_one, index) => used.has(index))) return block;
  const kept = block.attributes.flatMap((_one, index) => (used.has(index) ? [index] : []));
  const newIndex = new Map(kept.map((index, i) => [index, i]));
  return {
    ...block,
    allocations: block.allocations.map((index, ordinal) =>
      index === null || isFreed.has(ordinal) ? null : newIndex.get(index)!,
    ),
    unallocated: [...block.unallocated, ...freed],
    attributes: kept.map((index) => block.attributes[index]!),
    sequenceNumberForAllocation: Object.fromEntries(
      Object.entries(block.sequenceNumberForAllocation).filter(([ordinal]) => !isFreed.has(Number(ordinal))),
    ),
  };
}

/** The block without a node. */
export function withoutAffinity({ affinity_claim_time: _time, ...block }: IpamBlock): IpamBlock {
  return next(block, { affinity: null });
}

/** The same block, written again: whoever has read it before cannot write it any more. */
export function touched(block: IpamBlock): IpamBlock {
  return next(block, {});
}

function next(block: IpamBlock, change: Partial<IpamBlock>): IpamBlock {
  return { ...block, ...change, sequenceNumber: block.sequenceNumber + 1n };
}

function withSequence(block: IpamBlock, ordinals: readonly number[]): Record<string, bigint> {
  return {
    ...block.sequenceNumberForAllocation,
    ...Object.fromEntries(ordinals.map((ordinal) => [`${ordinal}`, block.sequenceNumber])),
  };
}
