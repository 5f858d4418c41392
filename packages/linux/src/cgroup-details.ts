import { noMemoryLimit, readCount } from './cgroup-usage.ts';
import { type CgroupLayout, cgroupFile } from './cgroups.ts';
import { keyedValue, toCount } from './kernel-file.ts';

/** CPU time and throttling in detail; nanoseconds. */
export interface CgroupCpuDetails {
  userNs: bigint;
  systemNs: bigint;
  periods: bigint;
  throttledPeriods: bigint;
  throttledNs: bigint;
  /** As on version 1: 1024 for one CPU. */
  shares: bigint | undefined;
  periodUs: bigint | undefined;
  /** Undefined for no quota. */
  quotaUs: bigint | undefined;
}

/** USER_HZ is 100 on every architecture that we run on (times(2)). */
const tickNs = 10_000_000n;

/** What `cpu.stat`, `cpuacct.stat` and the settings of the CPU controller say; undefined when the group does not exist. */
export function cgroupCpuDetails(layout: CgroupLayout, path: string): CgroupCpuDetails | undefined {
  const stat = cgroupFile(layout, path, ['cpu', 'cpu.stat']);
  if (stat === undefined) return undefined;
  const value = (key: string) => keyedValue(stat, key) ?? 0n;
  const throttling = { periods: value('nr_periods'), throttledPeriods: value('nr_throttled') };
  if (layout.version === 2) {
    const [quota, period] = (cgroupFile(layout, path, ['cpu', 'cpu.max']) ?? '').split(' ');
    return {
      ...throttling,
      userNs: value('user_usec') * 1000n,
      systemNs: value('system_usec') * 1000n,
      throttledNs: value('throttled_usec') * 1000n,
      shares: sharesOfWeight(readCount(layout, path, ['cpu', 'cpu.weight'])),
      periodUs: toCount(period),
      quotaUs: toCount(quota),
    };
  }
  const times = cgroupFile(layout, path, ['cpuacct', 'cpuacct.stat']) ?? '';
  const quota = readCount(layout, path, ['cpu', 'cpu.cfs_quota_us']);
  return {
    ...throttling,
    userNs: (keyedValue(times, 'user') ?? 0n) * tickNs,
    systemNs: (keyedValue(times, 'system') ?? 0n) * tickNs,
    throttledNs: value('throttled_time'),
    shares: readCount(layout, path, ['cpu', 'cpu.shares']),
    periodUs: readCount(layout, path, ['cpu', 'cpu.cfs_period_us']),
    quotaUs: quota === undefined || quota < 0n ? undefined : quota,
  };
}

/** The inverse of what OCI runtimes do to shares on version 2; about right, since weights are coarser. */
function sharesOfWeight(weight: bigint | undefined): bigint | undefined {
  return weight === undefined ? undefined : ((weight - 1n) * 262_142n) / 9999n + 2n;
}

/** Memory figures beyond {@link cgroupMemoryUsage}; bytes and events. */
export interface CgroupMemoryDetails {
  /** The most that was used at one time; undefined before kernel 5.19 on version 2. */
  maxUsageBytes: bigint | undefined;
  kernelBytes: bigint;
  /** Times that the limit was hit. */
  failures: bigint;
  /** Settings of the group itself; undefined for none. */
  limitBytes: bigint | undefined;
  swapLimitBytes: bigint | undefined;
  reservationBytes: bigint | undefined;
  /** Faults of the group itself, without those below it (version 1 only tells them apart). */
  ownPageFaults: bigint;
  ownMajorPageFaults: bigint;
}

/** Undefined when the group does not exist. */
export function cgroupMemoryDetails(layout: CgroupLayout, path: string): CgroupMemoryDetails | undefined {
  const stat = cgroupFile(layout, path, ['memory', 'memory.stat']);
  if (stat === undefined) return undefined;
  const count = (file: string) => readCount(layout, path, ['memory', file]);
  const faults = {
    ownPageFaults: keyedValue(stat, 'pgfault') ?? 0n,
    ownMajorPageFaults: keyedValue(stat, 'pgmajfault') ?? 0n,
  };
  if (layout.version === 2) {
    return {
      ...faults,
      maxUsageBytes: count('memory.peak'),
      kernelBytes: keyedValue(stat, 'kernel') ?? 0n,
      failures: keyedValue(cgroupFile(layout, path, ['memory', 'memory.events']) ?? '', 'max') ?? 0n,
      limitBytes: count('memory.max'),
      swapLimitBytes: count('memory.swap.max'),
      reservationBytes: count('memory.min'),
    };
  }
  const limit = (file: string) => {
    const bytes = count(file);
    return bytes === undefined || bytes >= noMemoryLimit ? undefined : bytes;
  };
  return {
    ...faults,
    maxUsageBytes: count('memory.max_usage_in_bytes'),
    kernelBytes: count('memory.kmem.usage_in_bytes') ?? 0n,
    failures: count('memory.failcnt') ?? 0n,
    limitBytes: limit('memory.limit_in_bytes'),
    swapLimitBytes: limit('memory.memsw.limit_in_bytes'),
    reservationBytes: limit('memory.soft_limit_in_bytes'),
  };
}

/** What a group read from and wrote to one block device. */
export interface CgroupDeviceIo {
  major: number;
  minor: number;
  readBytes: bigint;
  writtenBytes: bigint;
  reads: bigint;
  writes: bigint;
}

/** `io.stat`, or blkio's throttling counters on version 1; a device that was not used is not listed. */
export function cgroupDeviceIo(layout: CgroupLayout, path: string): CgroupDeviceIo[] {
  if (layout.version === 2) return parseIoStat(cgroupFile(layout, path, ['io', 'io.stat']) ?? '');
  const blkio = (file: string) =>
    cgroupFile(layout, path, ['blkio', `blkio.throttle.${file}_recursive`]) ?? '';
  return parseBlkio(blkio('io_service_bytes'), blkio('io_serviced'));
}

/** Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`. */
export function parseIoStat(text: string): CgroupDeviceIo[] {
  return text.split('\n').flatMap((line) => {
    const [device = '', ...pairs] = line.split(' ');
    const [major, minor] = device.split(':').map(Number);
    if (minor === undefined) return [];
    const value = (key: string) =>
      BigInt(pairs.find((pair) => pair.startsWith(`${key}=`))?.slice(key.length + 1) ?? 0);
    const bytes = { readBytes: value('rbytes'), writtenBytes: value('wbytes') };
    return [{ major: major!, minor, ...bytes, reads: value('rios'), writes: value('wios') }];
  });
}

/** Lines of `8:0 Read 123`. */
export function parseBlkio(bytesText: string, operationsText: string): CgroupDeviceIo[] {
  const devices = new Map<string, CgroupDeviceIo>();
  const read = (text: string, fields: Record<string, 'readBytes' | 'writtenBytes' | 'reads' | 'writes'>) => {
    for (const [, major, minor, operation, count] of text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)) {
      const field = fields[operation!];
      if (field === undefined) continue;
      const none = { readBytes: 0n, writtenBytes: 0n, reads: 0n, writes: 0n };
      const device = devices.get(`${major}:${minor}`) ?? {
        major: Number(major),
        minor: Number(minor),
        ...none,
      };
      devices.set(`${major}:${minor}`, device);
      device[field] = BigInt(count!);
    }
  };
  read(bytesText, { Read: 'readBytes', Write: 'writtenBytes' });
  read(operationsText, { Read: 'reads', Write: 'writes' });
  return [...devices.values()];
}

/** Huge pages of one size that a group uses. */
export interface CgroupHugePages {
  /** "2MB" */
  pageSize: string;
  usageBytes: bigint;
  /** Undefined on version 2, which does not keep it. */
  maxUsageBytes: bigint | undefined;
}

/** Nothing where the hugetlb controller is absent. @param pageSizes "2MB", "1GB" */
export function cgroupHugePages(layout: CgroupLayout, path: string, pageSizes: string[]): CgroupHugePages[] {
  const usageFile = layout.version === 2 ? 'current' : 'usage_in_bytes';
  return pageSizes.flatMap((pageSize) => {
    const count = (file: string) => readCount(layout, path, ['hugetlb', `hugetlb.${pageSize}.${file}`]);
    const usageBytes = count(usageFile);
    return usageBytes === undefined
      ? []
      : [{ pageSize, usageBytes, maxUsageBytes: count('max_usage_in_bytes') }];
  });
}
