import { type Cidr, formatCidr, formatIp, type IpAddress, parseIp } from '@amphipod/netlink';
import type { AllocationAttribute } from '../resources/ipam-block.ts';
import { addressAt, affinityOf, attributeAt, isEmpty, nodeOf } from './block.ts';
import type { Observation } from './observe.ts';

/** Something that is not as it should be, and what `repair` needs to know of it. */
export type Finding = {
  /** The same for the same finding of a later look, when nothing that belongs to it has been written since. */
  readonly id: string;
  /** For people. */
  readonly text: string;
} & (
  | { readonly type: 'unreadable'; readonly key: string }
  /** A block's free addresses are not those that nobody has. */
  | { readonly type: 'block-lists'; readonly cidr: Cidr; readonly revision: bigint }
  /** A handle does not count what it holds. */
  | { readonly type: 'handle-counts'; readonly handleId: string; readonly revision: bigint }
  /** A block's node does not know of it. */
  | { readonly type: 'affinity-missing'; readonly node: string; readonly cidr: Cidr }
  /** An affinity to a block that is not there, or is another's. */
  | { readonly type: 'affinity-stale'; readonly node: string; readonly cidr: Cidr; readonly revision: bigint }
  /** A claim or release that was not brought to its end. */
  | {
      readonly type: 'affinity-unfinished';
      readonly node: string;
      readonly cidr: Cidr;
      readonly state: string;
    }
  /** A block of nobody in which nothing is taken. */
  | { readonly type: 'block-empty'; readonly cidr: Cidr; readonly revision: bigint }
  /** An address that nothing uses. */
  | {
      readonly type: 'leak';
      readonly ip: IpAddress;
      readonly cidr: Cidr;
      readonly handleId: string;
      readonly sequence: bigint | undefined;
    }
  /** An address in use that nobody has taken. */
  | { readonly type: 'unallocated'; readonly ip: IpAddress }
  /** An address that several use. */
  | { readonly type: 'duplicate'; readonly ip: IpAddress }
);

/** Who uses which address: by address, what to call those who do. */
export type AddressUse = ReadonlyMap<string, readonly string[]>;

export interface CheckOptions {
  /** Undefined: only what the allocator's own records say of each other is looked at. */
  use?: AddressUse | undefined;
  /** True for an allocation that is too young to be missed. */
  isYoung?: (attribute: AllocationAttribute) => boolean;
}

/** Looks for what does not fit together. While others go on allocating, only what a second look finds too is certain. */
export function findMistakes(
  seen: Observation,
  { use, isYoung = () => false }: CheckOptions = {},
): Finding[] {
  return [
    ...seen.unreadable.map(({ key, why }): Finding => ({ type: 'unreadable', id: key, key, text: why })),
    ...[...seen.blocks.values()].flatMap((block) => blockMistakes(block)),
    ...handleMistakes(seen),
    ...affinityMistakes(seen),
    ...(use === undefined ? [] : [...leaks(seen, use, isYoung), ...useMistakes(seen, use)]),
  ];
}

type ObservedBlock = Observation['blocks'] extends ReadonlyMap<string, infer B> ? B : never;

function blockMistakes({ cidr, value, revision }: ObservedBlock): Finding[] {
  const name = formatCidr(cidr);
  const free = value.allocations.flatMap((index, ordinal) => (index === null ? [ordinal] : []));
  const listed = value.unallocated.toSorted((a, b) => a - b);
  const found: Finding[] = [];
  if (free.length !== listed.length || free.some((ordinal, i) => ordinal !== listed[i])) {
    const text = `block ${name} lists ${listed.length} free addresses and has ${free.length}, or others`;
    found.push({ type: 'block-lists', id: `${name} ${revision}`, cidr, revision, text });
  }
  if (value.affinity === null && isEmpty(value)) {
    found.push({
      type: 'block-empty',
      id: `${name} ${revision}`,
      cidr,
      revision,
      text: `block ${name} is nobody's and empty`,
    });
  }
  return found;
}

/** How many addresses each handle really has, by handle and block. */
function countHeld({ blocks }: Observation): Map<string, Map<string, number>> {
  const held = new Map<string, Map<string, number>>();
  for (const [name, { value }] of blocks) {
    for (const [ordinal] of value.allocations.entries()) {
      const handleId = attributeAt(value, ordinal)?.handle_id;
      if (handleId === undefined) continue;
      const counts = held.get(handleId) ?? new Map<string, number>();
      held.set(handleId, counts.set(name, (counts.get(name) ?? 0) + 1));
    }
  }
  return held;
}

function handleMistakes(seen: Observation): Finding[] {
  const held = countHeld(seen);
  return [...new Set([...held.keys(), ...seen.handles.keys()])].flatMap((handleId): Finding[] => {
    const stored = seen.handles.get(handleId);
    const real = describe([...(held.get(handleId) ?? [])]);
    const counted = describe(Object.entries(stored?.value.block ?? {}));
    if (real === counted && (real !== '' || stored === undefined)) return [];
    const revision = stored?.revision ?? 0n;
    const text = `handle ${JSON.stringify(handleId)} counts ${counted || 'nothing'} and holds ${real || 'nothing'}`;
    return [{ type: 'handle-counts', id: `${handleId} ${revision} ${real}`, handleId, revision, text }];
  });
}

function describe(counts: readonly (readonly [string, number])[]): string {
  return counts
    .map(([block, count]) => `${count} of ${block}`)
    .toSorted()
    .join(', ');
}

function affinityMistakes({ blocks, affinities }: Observation): Finding[] {
  const known = new Set(affinities.map(({ node, cidr }) => `${node} ${formatCidr(cidr)}`));
  const missing = [...blocks.values()].flatMap(({ cidr, value }): Finding[] => {
    const node = nodeOf(value);
    const id = `${node} ${formatCidr(cidr)}`;
    if (node === undefined || known.has(id)) return [];
    const text = `node ${JSON.stringify(node)} does not know that block ${formatCidr(cidr)} is its own`;
    return [{ type: 'affinity-missing', id, node, cidr, text }];
  });
  const others = affinities.flatMap(({ node, cidr, value: { state }, revision }): Finding[] => {
    const name = formatCidr(cidr);
    const block = blocks.get(name)?.value;
    const id = `${node} ${name} ${revision}`;
    if (state !== 'confirmed') {
      const text = `node ${JSON.stringify(node)} and block ${name}: left at ${JSON.stringify(state)}`;
      return [{ type: 'affinity-unfinished', id, node, cidr, state, text }];
    }
    if (block?.affinity === affinityOf(node)) return [];
    const whose =
      block === undefined ? 'which is not there' : `which is of ${JSON.stringify(block.affinity)}`;
    const text = `node ${JSON.stringify(node)} thinks that it has block ${name}, ${whose}`;
    return [{ type: 'affinity-stale', id, node, cidr, revision, text }];
  });
  return [...missing, ...others];
}

function leaks(
  seen: Observation,
  use: AddressUse,
  isYoung: (attribute: AllocationAttribute) => boolean,
): Finding[] {
  return [...seen.blocks.values()].flatMap(({ cidr, value }) =>
    value.allocations.flatMap((_index, ordinal): Finding[] => {
      const attribute = attributeAt(value, ordinal);
      if (attribute === undefined || attribute.releasedAt !== undefined || isYoung(attribute)) return [];
      const ip = addressAt(value, ordinal);
      if (use.has(formatIp(ip))) return [];
      const handleId = attribute.handle_id ?? '';
      const sequence = value.sequenceNumberForAllocation[ordinal];
      const { pod, namespace, node, type } = attribute.secondary ?? {};
      const whose = pod === undefined ? (type ?? 'nobody') : `pod ${namespace}/${pod}`;
      const text = `nothing uses ${formatIp(ip)}: handle ${JSON.stringify(handleId)}, ${whose} of node ${JSON.stringify(node ?? '')}`;
      return [
        { type: 'leak', id: `${formatIp(ip)} ${handleId} ${sequence}`, ip, cidr, handleId, sequence, text },
      ];
    }),
  );
}

function useMistakes(seen: Observation, use: AddressUse): Finding[] {
  const taken = new Set(
    [...seen.blocks.values()].flatMap(({ value }) =>
      value.allocations.flatMap((_index, ordinal) => {
        const attribute = attributeAt(value, ordinal);
        return attribute === undefined || attribute.releasedAt !== undefined
          ? []
          : formatIp(addressAt(value, ordinal));
      }),
    ),
  );
  return [...use].flatMap(([text, users]): Finding[] => {
    const ip = parseIp(text);
    const found: Finding[] = [];
    if (!taken.has(text)) {
      found.push({
        type: 'unallocated',
        id: text,
        ip,
        text: `${text} is used by ${users.join(', ')} and not allocated`,
      });
    }
    if (users.length > 1) {
      found.push({ type: 'duplicate', id: text, ip, text: `${text} is used by ${users.join(' and ')}` });
    }
    return found;
  });
}
