import { LinuxContainerResources } from '../gen/api.ts';
import type { Container } from '../store/records.ts';

/** The limits of a container now: those of its configuration until UpdateContainerResources changes them. */
export function resourcesInForce(container: Container): LinuxContainerResources | undefined {
  const { updatedResources: updated } = container;
  if (updated === undefined) return container.config.linux?.resources;
  return LinuxContainerResources.decode(Buffer.from(updated, 'base64'));
}

/** The form in which a record keeps them. */
export function encodeResources(resources: LinuxContainerResources): string {
  return Buffer.from(LinuxContainerResources.encode(resources).finish()).toString('base64');
}

/**
 * Resources after a change in which zero and empty mean "as before". A new memory limit alone leaves the amount of swap
 * that may be used as it was: `memory_swap_limit_in_bytes` counts both, so it moves along (field case RES-06).
 */
export function mergeResources(
  before: LinuxContainerResources,
  change: LinuxContainerResources,
): LinuxContainerResources {
  const pick = <T extends bigint | string>(next: T, old: T): T => (next === 0n || next === '' ? old : next);
  return {
    cpuPeriod: pick(change.cpuPeriod, before.cpuPeriod),
    cpuQuota: pick(change.cpuQuota, before.cpuQuota),
    cpuShares: pick(change.cpuShares, before.cpuShares),
    cpusetCpus: pick(change.cpusetCpus, before.cpusetCpus),
    cpusetMems: pick(change.cpusetMems, before.cpusetMems),
    oomScoreAdj: pick(change.oomScoreAdj, before.oomScoreAdj),
    memoryLimitInBytes: pick(change.memoryLimitInBytes, before.memoryLimitInBytes),
    memorySwapLimitInBytes: pick(change.memorySwapLimitInBytes, movedSwapLimit(before, change)),
    hugepageLimits: [
      ...before.hugepageLimits.filter(
        ({ pageSize }) => !change.hugepageLimits.some((limit) => limit.pageSize === pageSize),
      ),
      ...change.hugepageLimits,
    ],
    unified: { ...before.unified, ...change.unified },
  };
}

function movedSwapLimit(before: LinuxContainerResources, change: LinuxContainerResources): bigint {
  const { memoryLimitInBytes: limit, memorySwapLimitInBytes: swap } = before;
  const { memoryLimitInBytes: next } = change;
  if (swap <= 0n || next === 0n) return swap;
  return next < 0n ? -1n : swap - limit + next;
}
