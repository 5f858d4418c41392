import { readdirSync, readlinkSync, statfsSync } from 'node:fs';
import {
  type CgroupCpuDetails,
  type CgroupCpuUsage,
  type CgroupDeviceIo,
  type CgroupHugePages,
  type CgroupMemoryDetails,
  type CgroupMemoryUsage,
  cgroupCpuDetails,
  cgroupCpuUsage,
  cgroupDeviceIo,
  cgroupHugePages,
  cgroupMemoryDetails,
  cgroupMemoryUsage,
  cgroupOomKills,
  cgroupPressure,
  cgroupProcesses,
  cgroupTasks,
  isCode,
  mountInfo,
  type Pressure,
  readKernelFile,
} from '@amphipod/linux';
import type { LinkCounters } from '@amphipod/netlink';
import { containerPaths } from '../../containers/paths.ts';
import type { RuntimeContext } from '../../context.ts';
import type { Container, Sandbox } from '../../store/records.ts';
import { podInterfaces } from '../pod-network.ts';

/** What processes of a group have open. */
interface OpenFiles {
  processes: number;
  descriptors: number;
  sockets: number;
}

/** Everything that the metrics of a container or of a pod's own cgroup are made of. */
export interface GroupSample {
  cpu: CgroupCpuUsage;
  cpuDetails: CgroupCpuDetails | undefined;
  memory: CgroupMemoryUsage;
  memoryDetails: CgroupMemoryDetails;
  oomKills: number;
  tasks: { current: bigint; limit: bigint | undefined } | undefined;
  open: OpenFiles;
  devices: (CgroupDeviceIo & { device: string })[];
  hugePages: CgroupHugePages[];
  pressure: Record<'cpu' | 'memory' | 'io', Pressure | undefined>;
  nowSeconds: bigint;
  startedSeconds: bigint;
}

/** What only a container has. */
export interface ContainerSample extends GroupSample {
  disk: {
    device: string;
    usedBytes: bigint;
    totalBytes: bigint;
    totalInodes: bigint;
    freeInodes: bigint;
  };
  /** Soft limit of open files; undefined for none. */
  openFilesLimit: bigint | undefined;
}

/** What only a pod has. */
export interface PodSample extends GroupSample {
  interfaces: LinkCounters[];
}

/** Undefined when the group is gone. @param startedAtNs nanoseconds since 1970 */
function sampleGroup(
  context: RuntimeContext,
  cgroupPath: string,
  startedAtNs: bigint,
): GroupSample | undefined {
  const { cgroups } = context;
  const cpu = cgroupCpuUsage(cgroups, cgroupPath);
  const memory = cgroupMemoryUsage(cgroups, cgroupPath);
  const memoryDetails = cgroupMemoryDetails(cgroups, cgroupPath);
  if (cpu === undefined || memory === undefined || memoryDetails === undefined) return undefined;
  return {
    cpu,
    memory,
    memoryDetails,
    cpuDetails: cgroupCpuDetails(cgroups, cgroupPath),
    oomKills: cgroupOomKills(cgroups, cgroupPath) ?? 0,
    tasks: cgroupTasks(cgroups, cgroupPath),
    open: openFilesOf(cgroupProcesses(cgroups, cgroupPath)),
    devices: cgroupDeviceIo(cgroups, cgroupPath).map((io) => ({ ...io, device: blockDevice(io) })),
    hugePages: cgroupHugePages(cgroups, cgroupPath, hugePageSizes()),
    pressure: {
      cpu: cgroupPressure(cgroups, cgroupPath, 'cpu'),
      memory: cgroupPressure(cgroups, cgroupPath, 'memory'),
      io: cgroupPressure(cgroups, cgroupPath, 'io'),
    },
    nowSeconds: BigInt(Math.floor(Date.now() / 1000)),
    startedSeconds: startedAtNs / 1_000_000_000n,
  };
}

/** Undefined for a container that does not run. */
export function sampleContainer(context: RuntimeContext, container: Container): ContainerSample | undefined {
  if (container.state !== 'running') return undefined;
  const sample = sampleGroup(context, container.cgroupPath, container.startedAtNs);
  if (sample === undefined) return undefined;
  const { root } = context.config;
  const { bsize, blocks, files, ffree } = statfsSync(root, { bigint: true });
  const size = context.layers.get(container.id, containerPaths(context.config, container.id).upper);
  return {
    ...sample,
    disk: {
      device: deviceOf(root),
      usedBytes: size?.usedBytes ?? 0n,
      totalBytes: blocks * bsize,
      totalInodes: files,
      freeInodes: ffree,
    },
    openFilesLimit: container.process && openFilesLimit(container.process.pid),
  };
}

/** Undefined when the pod has no cgroup of its own. */
export function samplePod(
  context: RuntimeContext,
  sandbox: Sandbox,
  cgroupPath: string | undefined,
): PodSample | undefined {
  const sample = cgroupPath === undefined ? undefined : sampleGroup(context, cgroupPath, sandbox.createdAtNs);
  return sample && { ...sample, interfaces: podInterfaces(context, sandbox) ?? [] };
}

function openFilesOf(pids: number[]): OpenFiles {
  const open = { processes: pids.length, descriptors: 0, sockets: 0 };
  for (const pid of pids) {
    for (const fd of readIfThere(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      open.descriptors += 1;
      const target = readIfThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
      if (target?.startsWith('socket:')) open.sockets += 1;
    }
  }
  return open;
}

function openFilesLimit(pid: number): bigint | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(readKernelFile(`/proc/${pid}/limits`) ?? '')?.[1];
  return soft === undefined ? undefined : BigInt(soft);
}

const deviceNames = new Map<string, string>();

/** "/dev/sda" of 8:0; the numbers where the machine shows no name for them. */
function blockDevice({ major, minor }: { major: number; minor: number }): string {
  const numbers = `${major}:${minor}`;
  let name = deviceNames.get(numbers);
  if (name === undefined) {
    const target = readIfThere(() => readlinkSync(`/sys/dev/block/${numbers}`));
    name = target === undefined ? numbers : `/dev/${target.slice(target.lastIndexOf('/') + 1)}`;
    deviceNames.set(numbers, name);
  }
  return name;
}

const sourcesOfMounts = new Map<string, string>();

/** What the file system below `path` is mounted from, as `df` shows it. */
function deviceOf(path: string): string {
  let source = sourcesOfMounts.get(path);
  if (source === undefined) {
    const above = mountInfo().filter(({ mountPoint }) =>
      `${path}/`.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`),
    );
    const longest = above.reduce((a, b) => (b.mountPoint.length >= a.mountPoint.length ? b : a));
    source = longest.source;
    sourcesOfMounts.set(path, source);
  }
  return source;
}

let pageSizes: string[] | undefined;

/** "2MB", "1GB": what this kernel has, in the words of the hugetlb controller. */
export function hugePageSizes(): string[] {
  pageSizes ??= readHugePageSizes();
  return pageSizes;
}

function readHugePageSizes(): string[] {
  const names = readIfThere(() => readdirSync('/sys/kernel/mm/hugepages')) ?? [];
  return names.flatMap((name) => {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    if (!(kib > 0)) return [];
    if (kib % 2 ** 20 === 0) return [`${kib / 2 ** 20}GB`];
    return kib % 1024 === 0 ? [`${kib / 1024}MB`] : [`${kib}KB`];
  });
}

function readIfThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH', 'EACCES')) return undefined;
    throw error;
  }
}
