import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { isCode } from './errors.ts';
import { keyedValue, readKernelFile } from './kernel-file.ts';
import { type MountInfo, mountInfo } from './mounts.ts';
import { killQuietly } from './processes.ts';

/** Where the control groups of this machine are. A hybrid machine (controllers on v1) counts as version 1. */
export interface CgroupLayout {
  version: 1 | 2;
  /** Version 2: the mount point under the empty key. Version 1: controller name (also `name=systemd`) to its mount point. */
  mounts: Map<string, string>;
}

/** Finds the cgroup file systems. @throws Error when none is mounted */
export function detectCgroups(mounts: MountInfo[] = mountInfo()): CgroupLayout {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const { fsType, mountPoint, superOptions } of mounts) {
    if (fsType === 'cgroup2') v2 ??= mountPoint;
    if (fsType !== 'cgroup') continue;
    for (const option of superOptions) {
      if (v1Controllers.has(option) || option.startsWith('name=')) v1.set(option, mountPoint);
    }
  }
  if ([...v1.keys()].some((name) => !name.startsWith('name='))) {
    // runc makes its directory in the empty version 2 hierarchy of a hybrid machine too.
    if (v2 !== undefined) v1.set('unified', v2);
    return { version: 1, mounts: v1 };
  }
  if (v2 === undefined) throw new Error('find control groups: no cgroup file system is mounted');
  return { version: 2, mounts: new Map([['', v2]]) };
}

const v1Controllers = new Set(
  'blkio cpu cpuacct cpuset devices freezer hugetlb memory misc net_cls net_prio perf_event pids rdma'.split(
    ' ',
  ),
);

/** The directories of cgroup `path` ("/kubepods/x"), one for each hierarchy, whether they exist or not. */
export function cgroupDirs(layout: CgroupLayout, path: string): string[] {
  return [...new Set(layout.mounts.values())].map((mountPoint) => `${mountPoint}${cgroupPath(path)}`);
}

/** The directory of cgroup `path` in the hierarchy of one v1 controller; in version 2 the only one. */
export function cgroupDir(layout: CgroupLayout, path: string, controller: string): string | undefined {
  const mountPoint = layout.mounts.get(layout.version === 2 ? '' : controller);
  return mountPoint === undefined ? undefined : `${mountPoint}${cgroupPath(path)}`;
}

/** Text of one file of a cgroup; undefined when the file, the group or the controller is not there. */
export function cgroupFile(
  layout: CgroupLayout,
  path: string,
  [controller, file]: [controller: string, file: string],
): string | undefined {
  const dir = cgroupDir(layout, path, controller);
  return dir === undefined ? undefined : readKernelFile(`${dir}/${file}`);
}

function cgroupPath(path: string): string {
  if (!path.startsWith('/') || path.split('/').includes('..')) {
    throw new RangeError(`cgroup path ${JSON.stringify(path)}: must be absolute and without ".."`);
  }
  return path === '/' ? '' : path.replace(/\/+$/, '');
}

/** `mkdir -p` of the cgroup in every hierarchy. */
export function cgroupCreate(layout: CgroupLayout, path: string): void {
  for (const dir of cgroupDirs(layout, path)) mkdirSync(dir, { recursive: true });
}

/** Pids in the cgroup and in the groups below it; empty when it does not exist. */
export function cgroupPids(layout: CgroupLayout, path: string): number[] {
  const pids = new Set<number>();
  for (const dir of cgroupDirs(layout, path)) {
    for (const group of withDescendants(dir)) {
      for (const pid of pidsIn(group)) pids.add(pid);
    }
  }
  return [...pids];
}

/** Pids in the cgroup and below, from one hierarchy only: for counting, in a list of many. Empty when it does not exist. */
export function cgroupProcesses(layout: CgroupLayout, path: string): number[] {
  const dir = cgroupDir(layout, path, 'memory') ?? cgroupDirs(layout, path)[0]!;
  return withDescendants(dir).flatMap(pidsIn);
}

function pidsIn(group: string): number[] {
  return (readKernelFile(`${group}/cgroup.procs`) ?? '')
    .split('\n')
    .flatMap((pid) => (pid === '' ? [] : [Number(pid)]));
}

/** SIGKILL to every process in the cgroup and below (cgroup.kill where the kernel has it: no fork escapes that). */
export function cgroupKill(layout: CgroupLayout, path: string): void {
  if (layout.version === 2 && killWhole(cgroupDirs(layout, path)[0]!)) return;
  for (const pid of cgroupPids(layout, path)) killQuietly(pid, 'SIGKILL');
}

function killWhole(dir: string): boolean {
  try {
    writeFileSync(`${dir}/cgroup.kill`, '1', { flag: 'r+' });
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENODEV')) return false;
    throw error;
  }
}

/**
 * Removes the cgroup and the groups below it in every hierarchy; missing ones are fine.
 * @returns false when a process still keeps one of them
 */
export function cgroupRemove(layout: CgroupLayout, path: string): boolean {
  let clean = true;
  for (const dir of cgroupDirs(layout, path)) {
    // Mostly there is nothing below: then one call does it.
    if (removeGroup(dir)) continue;
    clean = withDescendants(dir).reverse().map(removeGroup).every(Boolean) && clean;
  }
  return clean;
}

function removeGroup(dir: string): boolean {
  try {
    rmdirSync(dir);
  } catch (error) {
    if (isCode(error, 'EBUSY')) return false;
    if (!isCode(error, 'ENOENT')) throw error;
  }
  return true;
}

/** Removes the cgroup in every hierarchy where nothing is in or below it. */
export function cgroupRemoveEmpty(layout: CgroupLayout, path: string): void {
  for (const dir of cgroupDirs(layout, path)) {
    try {
      rmdirSync(dir);
    } catch (error) {
      if (!isCode(error, 'EBUSY', 'ENOTEMPTY', 'ENOENT')) throw error;
    }
  }
}

/**
 * Processes of this group that the OOM killer ended: memory.events (v2, with those of the groups below it) or
 * memory.oom_control (v1), key oom_kill. Undefined when the group is gone.
 */
export function cgroupOomKills(layout: CgroupLayout, path: string): number | undefined {
  const file = layout.version === 2 ? 'memory.events' : 'memory.oom_control';
  const text = cgroupFile(layout, path, ['memory', file]);
  return text === undefined ? undefined : Number(keyedValue(text, 'oom_kill') ?? 0n);
}

function withDescendants(dir: string): string[] {
  const groups = [dir];
  for (let i = 0; i < groups.length; i++) {
    try {
      for (const entry of readdirSync(groups[i]!, { withFileTypes: true })) {
        if (entry.isDirectory()) groups.push(`${groups[i]}/${entry.name}`);
      }
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
  }
  return groups;
}
