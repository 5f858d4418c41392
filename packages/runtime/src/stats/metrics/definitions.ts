import { type CgroupLayout, cgroupPressure } from '@amphipod/linux';
import type { LinkCounters } from '@amphipod/netlink';
import { MetricType } from '../../gen/api.ts';
import { type ContainerSample, type GroupSample, hugePageSizes, type PodSample } from './sample.ts';

/** One value with the values of the metric's own labels. */
export type MetricValue = [value: bigint, ...labels: string[]];

/** A metric as cAdvisor names it. `Sample` says of what it is: of every group, of containers only or of pods only. */
export interface MetricDefinition<Sample> {
  name: string;
  help: string;
  type: MetricType;
  /** Labels after the common ones. */
  labels: string[];
  read(sample: Sample): MetricValue[];
}

type Read<Sample> = (sample: Sample) => bigint | number | undefined;

function counter<Sample>(name: string, help: string, read: Read<Sample>): MetricDefinition<Sample> {
  return { name, help, type: MetricType.COUNTER, labels: [], read: (sample) => single(read(sample)) };
}

function gauge<Sample>(name: string, help: string, read: Read<Sample>): MetricDefinition<Sample> {
  return { ...counter(name, help, read), type: MetricType.GAUGE };
}

function single(value: bigint | number | undefined): MetricValue[] {
  return value === undefined ? [] : [[BigInt(value)]];
}

/** Values are whole numbers in CRI: seconds are cut. */
function seconds(ns: bigint): bigint {
  return ns / 1_000_000_000n;
}

/** Metrics of containers and of pods' own groups. */
const groupMetrics: MetricDefinition<GroupSample>[] = [
  {
    name: 'container_cpu_usage_seconds_total',
    help: 'CPU time used, in seconds',
    type: MetricType.COUNTER,
    labels: ['cpu'],
    read: ({ cpu }) => [[seconds(cpu.usageNs), 'total']],
  },
  counter('container_cpu_user_seconds_total', 'CPU time used in user mode, in seconds', ({ cpuDetails }) =>
    seconds(cpuDetails?.userNs ?? 0n),
  ),
  counter('container_cpu_system_seconds_total', 'CPU time used in the kernel, in seconds', ({ cpuDetails }) =>
    seconds(cpuDetails?.systemNs ?? 0n),
  ),
  counter(
    'container_cpu_cfs_periods_total',
    'Periods of the CPU quota that have passed',
    ({ cpuDetails }) => cpuDetails?.periods ?? 0n,
  ),
  counter(
    'container_cpu_cfs_throttled_periods_total',
    'Periods in which the CPU quota was used up',
    ({ cpuDetails }) => cpuDetails?.throttledPeriods ?? 0n,
  ),
  counter(
    'container_cpu_cfs_throttled_seconds_total',
    'Time spent waiting for the next period of the CPU quota, in seconds',
    ({ cpuDetails }) => seconds(cpuDetails?.throttledNs ?? 0n),
  ),
  gauge('container_file_descriptors', 'Open file descriptors', ({ open }) => open.descriptors),
  gauge('container_sockets', 'Open sockets', ({ open }) => open.sockets),
  gauge('container_processes', 'Processes', ({ open }) => open.processes),
  gauge('container_threads', 'Threads', ({ tasks }) => tasks?.current),
  gauge('container_threads_max', 'Most threads that may be there, 0 for no limit', ({ tasks }) =>
    tasks === undefined ? undefined : (tasks.limit ?? 0n),
  ),
  gauge('container_last_seen', 'Time of this reading, seconds since 1970', ({ nowSeconds }) => nowSeconds),
  gauge(
    'container_start_time_seconds',
    'Time of the start, seconds since 1970',
    (sample) => sample.startedSeconds,
  ),
  gauge('container_memory_cache', 'Pages of files in memory, in bytes', ({ memory }) => memory.cacheBytes),
  gauge('container_memory_rss', 'Anonymous memory, in bytes', ({ memory }) => memory.rssBytes),
  gauge('container_memory_swap', 'Memory on swap, in bytes', ({ memory }) => memory.swapBytes ?? 0n),
  gauge(
    'container_memory_mapped_file',
    'Mapped pages of files, in bytes',
    ({ memory }) => memory.mappedFileBytes,
  ),
  gauge('container_memory_usage_bytes', 'Memory used, in bytes', ({ memory }) => memory.usageBytes),
  gauge(
    'container_memory_working_set_bytes',
    'Memory used less inactive pages of files, in bytes',
    ({ memory }) => memory.workingSetBytes,
  ),
  gauge(
    'container_memory_max_usage_bytes',
    'The most memory used so far, in bytes',
    ({ memory, memoryDetails }) => memoryDetails.maxUsageBytes ?? memory.usageBytes,
  ),
  gauge(
    'container_memory_kernel_usage',
    'Memory that the kernel uses, in bytes',
    ({ memoryDetails }) => memoryDetails.kernelBytes,
  ),
  counter(
    'container_memory_failcnt',
    'Times that the memory limit was hit',
    ({ memoryDetails }) => memoryDetails.failures,
  ),
  {
    name: 'container_memory_failures_total',
    help: 'Page faults',
    type: MetricType.COUNTER,
    labels: ['failure_type', 'scope'],
    read: ({ memory, memoryDetails }) => [
      [memoryDetails.ownPageFaults, 'pgfault', 'container'],
      [memory.pageFaults, 'pgfault', 'hierarchy'],
      [memoryDetails.ownMajorPageFaults, 'pgmajfault', 'container'],
      [memory.majorPageFaults, 'pgmajfault', 'hierarchy'],
    ],
  },
  counter(
    'container_oom_events_total',
    'Processes that were killed for want of memory',
    ({ oomKills }) => oomKills,
  ),
  gauge(
    'container_spec_cpu_period',
    'Period of the CPU quota, in microseconds',
    ({ cpuDetails }) => cpuDetails?.periodUs ?? 0n,
  ),
  gauge(
    'container_spec_cpu_quota',
    'CPU quota, in microseconds for each period',
    ({ cpuDetails }) => cpuDetails?.quotaUs,
  ),
  gauge(
    'container_spec_cpu_shares',
    'CPU shares, 1024 for one CPU',
    ({ cpuDetails }) => cpuDetails?.shares ?? 0n,
  ),
  gauge(
    'container_spec_memory_limit_bytes',
    'Memory limit in bytes, 0 for none',
    ({ memoryDetails }) => memoryDetails.limitBytes ?? 0n,
  ),
  gauge(
    'container_spec_memory_swap_limit_bytes',
    'Swap limit in bytes, 0 for none',
    ({ memoryDetails }) => memoryDetails.swapLimitBytes ?? 0n,
  ),
  gauge(
    'container_spec_memory_reservation_limit_bytes',
    'Memory reservation in bytes, 0 for none',
    ({ memoryDetails }) => memoryDetails.reservationBytes ?? 0n,
  ),
  ...(['reads', 'writes'] as const).flatMap((direction) => [
    deviceCounter(`container_fs_${direction}_total`, `Number of ${direction}`, (io) => io[direction]),
    deviceCounter(`container_fs_${direction}_bytes_total`, `Bytes of ${direction}`, (io) =>
      direction === 'reads' ? io.readBytes : io.writtenBytes,
    ),
  ]),
  {
    name: 'container_blkio_device_usage_total',
    help: 'Bytes moved to and from a block device',
    type: MetricType.COUNTER,
    labels: ['device', 'major', 'minor', 'operation'],
    read: ({ devices }) =>
      devices.flatMap(({ device, major, minor, readBytes, writtenBytes }): MetricValue[] => [
        [readBytes, device, `${major}`, `${minor}`, 'Read'],
        [writtenBytes, device, `${major}`, `${minor}`, 'Write'],
      ]),
  },
];

function deviceCounter(
  name: string,
  help: string,
  read: (io: GroupSample['devices'][number]) => bigint,
): MetricDefinition<GroupSample> {
  return {
    name,
    help,
    type: MetricType.COUNTER,
    labels: ['device'],
    read: ({ devices }) => devices.map((io) => [read(io), io.device]),
  };
}

/** Only where the machine counts huge pages. */
const hugePageMetrics: MetricDefinition<GroupSample>[] = [
  {
    name: 'container_hugetlb_usage_bytes',
    help: 'Memory in huge pages, in bytes',
    type: MetricType.GAUGE,
    labels: ['pagesize'],
    read: ({ hugePages }) => hugePages.map(({ pageSize, usageBytes }) => [usageBytes, pageSize]),
  },
];

/** Only where cgroups are of version 1, which keeps the maximum. */
const hugePageMaximum: MetricDefinition<GroupSample> = {
  name: 'container_hugetlb_max_usage_bytes',
  help: 'The most memory in huge pages so far, in bytes',
  type: MetricType.GAUGE,
  labels: ['pagesize'],
  read: ({ hugePages }) =>
    hugePages.flatMap(({ pageSize, maxUsageBytes }): MetricValue[] =>
      maxUsageBytes === undefined ? [] : [[maxUsageBytes, pageSize]],
    ),
};

/** Only where the kernel measures pressure by group. */
const pressureMetrics = (['cpu', 'memory', 'io'] as const).flatMap((resource) => [
  counter<GroupSample>(
    `container_pressure_${resource}_waiting_seconds_total`,
    `Time in which some tasks waited for ${resource}, in seconds`,
    ({ pressure }) => seconds(pressure[resource]?.some.totalNs ?? 0n),
  ),
  counter<GroupSample>(
    `container_pressure_${resource}_stalled_seconds_total`,
    `Time in which all tasks waited for ${resource}, in seconds`,
    ({ pressure }) => seconds(pressure[resource]?.full.totalNs ?? 0n),
  ),
]);

/** Metrics of containers only. */
export const containerOnlyMetrics: MetricDefinition<ContainerSample>[] = [
  diskGauge('container_fs_usage_bytes', 'Size of the writable layer, in bytes', (disk) => disk.usedBytes),
  diskGauge('container_fs_limit_bytes', 'Size of the file system, in bytes', (disk) => disk.totalBytes),
  diskGauge('container_fs_inodes_total', 'Inodes of the file system', (disk) => disk.totalInodes),
  diskGauge('container_fs_inodes_free', 'Free inodes of the file system', (disk) => disk.freeInodes),
  {
    name: 'container_ulimits_soft',
    help: 'Soft limits of the first process',
    type: MetricType.GAUGE,
    labels: ['ulimit'],
    read: ({ openFilesLimit }) => (openFilesLimit === undefined ? [] : [[openFilesLimit, 'max_open_files']]),
  },
];

function diskGauge(
  name: string,
  help: string,
  read: (disk: ContainerSample['disk']) => bigint,
): MetricDefinition<ContainerSample> {
  return {
    name,
    help,
    type: MetricType.GAUGE,
    labels: ['device'],
    read: ({ disk }) => [[read(disk), disk.device]],
  };
}

/** Metrics of pods only. */
export const podOnlyMetrics: MetricDefinition<PodSample>[] = (['receive', 'transmit'] as const).flatMap(
  (direction) => {
    const received = direction === 'receive';
    return [
      network(direction, 'bytes', (link) => (received ? link.rxBytes : link.txBytes)),
      network(direction, 'packets', (link) => (received ? link.rxPackets : link.txPackets)),
      network(direction, 'packets_dropped', (link) => (received ? link.rxDropped : link.txDropped)),
      network(direction, 'errors', (link) => (received ? link.rxErrors : link.txErrors)),
    ];
  },
);

function network(
  direction: 'receive' | 'transmit',
  what: string,
  read: (link: LinkCounters) => bigint,
): MetricDefinition<PodSample> {
  return {
    name: `container_network_${direction}_${what}_total`,
    help: `${what.replace('_', ' ')}, ${direction === 'receive' ? 'received' : 'transmitted'}`,
    type: MetricType.COUNTER,
    labels: ['interface'],
    read: ({ interfaces }) => interfaces.map((link) => [read(link), link.name]),
  };
}

/** The metrics of every group that this machine can give. */
export function groupMetricsOf(cgroups: CgroupLayout): MetricDefinition<GroupSample>[] {
  const countsTasks = cgroups.version === 2 || cgroups.mounts.has('pids');
  const countsHugePages =
    hugePageSizes().length > 0 && (cgroups.version === 2 || cgroups.mounts.has('hugetlb'));
  const hasPressure = cgroupPressure(cgroups, '/', 'cpu') !== undefined;
  return [
    ...groupMetrics.filter(({ name }) => countsTasks || !name.startsWith('container_threads')),
    ...(countsHugePages ? hugePageMetrics : []),
    ...(countsHugePages && cgroups.version === 1 ? [hugePageMaximum] : []),
    ...(hasPressure ? pressureMetrics : []),
  ];
}
