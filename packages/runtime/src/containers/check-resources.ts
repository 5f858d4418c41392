import type { CgroupLayout } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import type { LinuxContainerResources } from '../gen/api.ts';

/**
 * Finds what can be seen to be wrong without asking the kernel. Zero and empty mean "not set" everywhere.
 * @throws CriError invalid-argument that names field and value
 */
export function checkResources(resources: LinuxContainerResources, cgroups: CgroupLayout): void {
  checkCpu(resources);
  checkMemory(resources);
  const { oomScoreAdj, hugepageLimits, unified } = resources;
  check(
    'oom_score_adj',
    oomScoreAdj,
    oomScoreAdj >= -1000n && oomScoreAdj <= 1000n,
    'must be from -1000 to 1000',
  );
  for (const { pageSize } of hugepageLimits)
    check(
      'hugepage_limits.page_size',
      pageSize,
      /^[1-9]\d*[KMG]B$/.test(pageSize),
      'must be like 2MB or 1GB',
    );
  for (const key of Object.keys(unified)) {
    check('unified', key, cgroups.version === 2, 'there is no such file on cgroup version 1');
    check('unified', key, /^[a-z]\w*(\.[\w-]+)+$/.test(key), 'must be the name of a file like memory.high');
  }
}

function checkCpu({ cpuPeriod, cpuQuota, cpuShares, cpusetCpus, cpusetMems }: LinuxContainerResources): void {
  const periodIsRight = cpuPeriod === 0n || (cpuPeriod >= 1000n && cpuPeriod <= 1_000_000n);
  check('cpu_period', cpuPeriod, periodIsRight, 'must be from 1000 to 1000000 microseconds');
  const quotaIsRight = cpuQuota === 0n || cpuQuota === -1n || cpuQuota >= 1000n;
  check('cpu_quota', cpuQuota, quotaIsRight, 'must be at least 1000 microseconds, or -1 for none');
  const sharesAreRight = cpuShares === 0n || (cpuShares >= 2n && cpuShares <= 262_144n);
  check('cpu_shares', cpuShares, sharesAreRight, 'must be from 2 to 262144');
  for (const [field, list] of [
    ['cpuset_cpus', cpusetCpus],
    ['cpuset_mems', cpusetMems],
  ] as const) {
    check(field, list, list === '' || /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list), 'must be a list like 0-3,5');
  }
}

function checkMemory({
  memoryLimitInBytes: limit,
  memorySwapLimitInBytes: swap,
}: LinuxContainerResources): void {
  check('memory_limit_in_bytes', limit, limit >= -1n, 'must be a number of bytes, or -1 for no limit');
  check('memory_swap_limit_in_bytes', swap, swap >= -1n, 'must be a number of bytes, or -1 for no limit');
  check('memory_swap_limit_in_bytes', swap, swap <= 0n || limit > 0n, 'needs a memory_limit_in_bytes');
  check(
    'memory_swap_limit_in_bytes',
    swap,
    swap <= 0n || swap >= limit,
    `is of memory and swap together and below the memory limit of ${limit}`,
  );
}

function check(field: string, value: bigint | string, isRight: boolean, why: string): void {
  if (isRight) return;
  const shown = typeof value === 'bigint' ? value : JSON.stringify(value);
  throw new CriError('invalid-argument', `check resources: linux.${field} ${shown}: ${why}`);
}
