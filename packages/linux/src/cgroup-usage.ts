import { type CgroupLayout, cgroupFile } from './cgroups.ts';
import { keyedValue, toCount } from './kernel-file.ts';

/** CPU time of one group and of those below it. Nanoseconds. */
export interface CgroupCpuUsage {
  usageNs: bigint;
}

/** Memory of one group and of those below it, in bytes, as cAdvisor names the figures. */
export interface CgroupMemoryUsage {
  usageBytes: bigint;
  /** Usage less inactive file pages: what the kubelet evicts by. */
  workingSetBytes: bigint;
  /** Anonymous memory. */
  rssBytes: bigint;
  /** File pages. */
  cacheBytes: bigint;
  mappedFileBytes: bigint;
  /** Undefined where the kernel counts no swap. */
  swapBytes: bigint | undefined;
  pageFaults: bigint;
  majorPageFaults: bigint;
  /** The smallest limit of this group and its parents; undefined for none. */
  limitBytes: bigint | undefined;
  /** How much swap the group may use; undefined for no limit, or where the kernel counts no swap. */
  swapLimitBytes: bigint | undefined;
}

/** Version 1 has page_counter limits in pages, so "no limit" is the largest multiple of a page. */
export const noMemoryLimit = 0x7fff_ffff_ffff_0000n;

/** CPU time of a group (`cpuacct.usage`, `cpu.stat`); undefined when it does not exist. */
export function cgroupCpuUsage(layout: CgroupLayout, path: string): CgroupCpuUsage | undefined {
  if (layout.version === 2) {
    const stat = cgroupFile(layout, path, ['cpu', 'cpu.stat']);
    const usageUs = stat === undefined ? undefined : keyedValue(stat, 'usage_usec');
    return usageUs === undefined ? undefined : { usageNs: usageUs * 1000n };
  }
  const usageNs = readCount(layout, path, ['cpuacct', 'cpuacct.usage']);
  return usageNs === undefined ? undefined : { usageNs };
}

/** Memory of a group (`memory.stat` and its neighbours); undefined when it does not exist. */
export function cgroupMemoryUsage(layout: CgroupLayout, path: string): CgroupMemoryUsage | undefined {
  return layout.version === 2 ? memoryUsage2(layout, path) : memoryUsage1(layout, path);
}

function memoryUsage2(layout: CgroupLayout, path: string): CgroupMemoryUsage | undefined {
  const read = readMemory(layout, path, 'memory.current');
  if (read === undefined) return undefined;
  const { usageBytes, value } = read;
  const count = (file: string) => readCount(layout, path, ['memory', file]);
  return {
    usageBytes,
    workingSetBytes: less(usageBytes, value('inactive_file')),
    rssBytes: value('anon'),
    cacheBytes: value('file'),
    mappedFileBytes: value('file_mapped'),
    swapBytes: count('memory.swap.current'),
    pageFaults: value('pgfault'),
    majorPageFaults: value('pgmajfault'),
    limitBytes: count('memory.max'),
    swapLimitBytes: count('memory.swap.max'),
  };
}

function memoryUsage1(layout: CgroupLayout, path: string): CgroupMemoryUsage | undefined {
  const read = readMemory(layout, path, 'memory.usage_in_bytes');
  if (read === undefined) return undefined;
  const { usageBytes, stat, value } = read;
  const limit = (key: string) => {
    const bytes = keyedValue(stat, key);
    return bytes === undefined || bytes >= noMemoryLimit ? undefined : bytes;
  };
  const limitBytes = limit('hierarchical_memory_limit');
  const bothLimit = limit('hierarchical_memsw_limit');
  return {
    usageBytes,
    workingSetBytes: less(usageBytes, value('total_inactive_file')),
    rssBytes: value('total_rss'),
    cacheBytes: value('total_cache'),
    mappedFileBytes: value('total_mapped_file'),
    swapBytes: keyedValue(stat, 'total_swap'),
    pageFaults: value('total_pgfault'),
    majorPageFaults: value('total_pgmajfault'),
    limitBytes,
    swapLimitBytes: bothLimit === undefined ? undefined : less(bothLimit, limitBytes ?? 0n),
  };
}

function readMemory(layout: CgroupLayout, path: string, usageFile: string) {
  const usageBytes = readCount(layout, path, ['memory', usageFile]);
  const stat = cgroupFile(layout, path, ['memory', 'memory.stat']);
  if (usageBytes === undefined || stat === undefined) return undefined;
  return { usageBytes, stat, value: (key: string) => keyedValue(stat, key) ?? 0n };
}

function less(from: bigint, amount: bigint): bigint {
  return from > amount ? from - amount : 0n;
}

/** Tasks in a group and below it; undefined where no controller counts them. */
export function cgroupTasks(
  layout: CgroupLayout,
  path: string,
): { current: bigint; limit: bigint | undefined } | undefined {
  const current = readCount(layout, path, ['pids', 'pids.current']);
  return current === undefined
    ? undefined
    : { current, limit: readCount(layout, path, ['pids', 'pids.max']) };
}

/** The one number in a file of a group; undefined when it is not there, or says "max". */
export function readCount(
  layout: CgroupLayout,
  path: string,
  place: [controller: string, file: string],
): bigint | undefined {
  return toCount(cgroupFile(layout, path, place));
}

/** Pressure on one resource: how much of the time some, and all, tasks waited for it. */
export interface Pressure {
  some: PressureLine;
  /** All zero for the CPU of a whole machine, which has no such line in older kernels. */
  full: PressureLine;
}

export interface PressureLine {
  /** Percent of the last 10, 60 and 300 seconds. */
  avg10: number;
  avg60: number;
  avg300: number;
  totalNs: bigint;
}

/** `cpu.pressure`, `memory.pressure` or `io.pressure` of a group; undefined on version 1 and where the kernel lacks it. */
export function cgroupPressure(
  layout: CgroupLayout,
  path: string,
  resource: 'cpu' | 'memory' | 'io',
): Pressure | undefined {
  if (layout.version !== 2) return undefined;
  const text = cgroupFile(layout, path, [resource, `${resource}.pressure`]);
  return text === undefined ? undefined : parsePressure(text);
}

/** Reads `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the line with `full`; the total there is in microseconds. */
export function parsePressure(text: string): Pressure {
  const line = (kind: string): PressureLine => {
    const found = new RegExp(
      `^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`,
      'm',
    ).exec(text);
    const [, avg10 = '0', avg60 = '0', avg300 = '0', total = '0'] = found ?? [];
    return {
      avg10: Number(avg10),
      avg60: Number(avg60),
      avg300: Number(avg300),
      totalNs: BigInt(total) * 1000n,
    };
  };
  return { some: line('some'), full: line('full') };
}
