import { readFileSync } from 'node:fs';
import { type CgroupLayout, cgroupCountsSwap } from '@amphipod/linux';
import type { LinuxContainerResources } from '../gen/api.ts';
import type { OciResources } from '../oci/spec.ts';
import { hasCapability } from './capabilities.ts';
import { checkResources } from './check-resources.ts';

/**
 * CRI resources as OCI ones; zero means "not set" there and is left out. A memory limit without a limit of memory and swap
 * together allows no swap, where the kernel counts it (field case RES-06).
 * @throws CriError invalid-argument, see {@link checkResources}
 */
export function containerResources(
  resources: LinuxContainerResources | undefined,
  cgroups: CgroupLayout,
): OciResources {
  if (resources === undefined) return {};
  checkResources(resources, cgroups);
  const { cpuPeriod, cpuQuota, cpuShares, cpusetCpus, cpusetMems } = resources;
  const { memoryLimitInBytes: limit, hugepageLimits, unified } = resources;
  const swap = swapLimit(resources, cgroups);
  return {
    cpu: {
      ...(cpuShares > 0n && { shares: Number(cpuShares) }),
      ...(cpuQuota !== 0n && { quota: Number(cpuQuota) }),
      ...(cpuPeriod > 0n && { period: Number(cpuPeriod) }),
      ...(cpusetCpus !== '' && { cpus: cpusetCpus }),
      ...(cpusetMems !== '' && { mems: cpusetMems }),
    },
    memory: {
      ...(limit !== 0n && { limit: Number(limit) }),
      ...(swap !== 0n && { swap: Number(swap) }),
    },
    ...(hugepageLimits.length > 0 && {
      hugepageLimits: hugepageLimits.map(({ pageSize, limit: bytes }) => ({
        pageSize,
        limit: Number(bytes),
      })),
    }),
    ...(Object.keys(unified).length > 0 && { unified }),
  };
}

/** Of memory and swap together; 0 for "leave it alone". The kubelet's own key for version 2 comes first. */
function swapLimit(
  { memoryLimitInBytes: limit, memorySwapLimitInBytes: swap, unified }: LinuxContainerResources,
  cgroups: CgroupLayout,
): bigint {
  if (unified['memory.swap.max'] !== undefined) return 0n;
  if (swap !== 0n || limit <= 0n) return swap;
  return cgroupCountsSwap(cgroups) ? limit : 0n;
}

/**
 * The oom_score_adj that we can really set: without CAP_SYS_RESOURCE not below our own (proc_pid_oom_score_adj(5)).
 * The kubelet sends -997 for guaranteed pods; failing them on such a machine would help nobody.
 */
export function clampOomScoreAdj(
  wanted: number,
  { mayLower = hasCapability('SYS_RESOURCE'), own = readFileSync('/proc/self/oom_score_adj', 'latin1') } = {},
): number {
  return mayLower ? wanted : Math.max(wanted, Number(own));
}
