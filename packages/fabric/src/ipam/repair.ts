import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { formatCidr } from '@amphipod/netlink';
import { attributeAt, ordinalOf, ordinalsOf, touched } from './block.ts';
import { type AddressUse, type CheckOptions, type Finding, findMistakes } from './check.ts';
import { claimBlock } from './claim-block.ts';
import { HandleCounter } from './handle-counter.ts';
import { type Observation, observe } from './observe.ts';
import { releaseFromBlock } from './release.ts';
import { releaseBlock } from './release-block.ts';
import { readConfig } from './situation.ts';
import { type StorePlace, storedAffinity, storedBlock, storedHandle } from './stored-object.ts';

export interface RepairOptions extends Pick<CheckOptions, 'isYoung'> {
  /** What is in use at the time of a look. Undefined: see {@link CheckOptions}. */
  use?: () => Promise<AddressUse>;
  /** Only what is still so after this time is mended: what an allocation does at this moment looks like a mistake. */
  settleMs: number;
  now?: () => number;
}

export interface Repaired {
  mended: readonly Finding[];
  /** What nothing can be done for, or what changed at that moment. */
  left: readonly Finding[];
}

/**
 * Looks twice and mends what is the same both times. Nothing is written over what has changed since: everything goes by
 * compare-and-swap. It can be run at any time, also by several.
 */
export async function repair(place: StorePlace, options: RepairOptions): Promise<Repaired> {
  const first = new Set((await look(place, options)).findings.map(keyOf));
  await delay(options.settleMs, undefined, { signal: place.signal });
  const { findings, seen } = await look(place, options);
  const [mended, left]: [Finding[], Finding[]] = [[], []];
  for (const finding of findings) {
    const isCertain = first.has(keyOf(finding));
    const isMended =
      isCertain && (await mend({ ...place, nowMs: (options.now ?? Date.now)() }, finding, seen));
    (isMended ? mended : left).push(finding);
  }
  return { mended, left };
}

async function look(
  place: StorePlace,
  { use, isYoung }: RepairOptions,
): Promise<{ findings: Finding[]; seen: Observation }> {
  // What is in use first: an address that is allocated after it is not missed.
  const inUse = await use?.();
  const seen = await observe(place);
  return { seen, findings: findMistakes(seen, { use: inUse, ...(isYoung !== undefined && { isYoung }) }) };
}

function keyOf({ type, id }: Finding): string {
  return `${type} ${id}`;
}

/** @returns false when it cannot be mended, or not now */
async function mend(
  place: StorePlace & { nowMs: number },
  finding: Finding,
  seen: Observation,
): Promise<boolean> {
  try {
    switch (finding.type) {
      case 'block-lists':
        return await mendLists(place, finding);
      case 'block-empty':
        await storedBlock(place, finding.cidr).delete(seen.blocks.get(formatCidr(finding.cidr))!);
        return true;
      case 'handle-counts':
        return await mendCounts(place, finding, seen);
      case 'affinity-missing':
        return (await claimBlock({ ...place, node: finding.node }, finding.cidr)) !== undefined;
      case 'affinity-stale': {
        const { node, cidr, revision } = finding;
        await place.store.delete(storedAffinity(place, node, cidr).key, { expected: revision });
        return true;
      }
      case 'affinity-unfinished':
        return await finishAffinity(place, finding);
      case 'leak':
        return await mendLeak(place, finding);
      case 'unreadable':
      case 'unallocated':
      case 'duplicate':
        return false;
    }
  } catch (error) {
    if (isCode(error, 'conflict')) return false;
    throw error;
  }
}

async function mendLists(
  place: StorePlace,
  { cidr, revision }: Extract<Finding, { type: 'block-lists' }>,
): Promise<boolean> {
  const object = storedBlock(place, cidr);
  const stored = await object.get();
  if (stored?.revision !== revision) return false;
  const { allocations, unallocated } = stored.value;
  const isFree = (ordinal: number) => allocations[ordinal] === null;
  const kept = [...new Set(unallocated)].filter(isFree);
  const added = allocations.flatMap((_index, ordinal) =>
    isFree(ordinal) && !kept.includes(ordinal) ? [ordinal] : [],
  );
  await object.replace(stored, { ...touched(stored.value), unallocated: [...kept, ...added] });
  return true;
}

async function mendCounts(
  place: StorePlace,
  { handleId, revision }: Extract<Finding, { type: 'handle-counts' }>,
  { blocks }: Observation,
): Promise<boolean> {
  const held = [...blocks].flatMap(([name, { value }]): [string, number][] => {
    const count = ordinalsOf(value, handleId).length;
    return count === 0 ? [] : [[name, count]];
  });
  const object = storedHandle(place, handleId);
  if (held.length > 0)
    await object.replace({ revision }, { block: Object.fromEntries(held), deleted: false });
  else await place.store.delete(object.key, { expected: revision });
  return true;
}

async function finishAffinity(
  place: StorePlace & { nowMs: number },
  { node, cidr, state }: Extract<Finding, { type: 'affinity-unfinished' }>,
): Promise<boolean> {
  const block = await storedBlock(place, cidr).get();
  // An affinity that waits for its block is of no use without it; one that was to go, goes, if nothing holds it back.
  if (state === 'pending' && block !== undefined) {
    // When the block turns out to be another's, the affinity goes.
    await claimBlock({ ...place, node }, cidr);
    return true;
  }
  if (await releaseBlock(place, { node, cidr }, { onlyEmpty: true })) return true;
  return (await claimBlock({ ...place, node }, cidr)) !== undefined;
}

async function mendLeak(
  place: StorePlace & { nowMs: number },
  { ip, cidr, handleId, sequence }: Extract<Finding, { type: 'leak' }>,
): Promise<boolean> {
  const { ipCooldownSeconds: cooldownSeconds } = await readConfig(place);
  const given = await releaseFromBlock(place, cidr, {
    cooldownSeconds,
    choose(block) {
      const ordinal = ordinalOf(block, ip)!;
      const isSame =
        (attributeAt(block, ordinal)?.handle_id ?? '') === handleId &&
        block.sequenceNumberForAllocation[ordinal] === sequence;
      return isSame ? [ordinal] : [];
    },
  });
  if (handleId !== '') await new HandleCounter(place, handleId).add(cidr, -given.length);
  return given.length > 0;
}
