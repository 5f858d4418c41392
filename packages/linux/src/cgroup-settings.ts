import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { type CgroupLayout, cgroupDir } from './cgroups.ts';
import { readKernelFile } from './kernel-file.ts';

/** Files of limits that OCI runtimes set, in an order in which they can mostly be set back. */
const limitFiles = {
  1: [
    ...['cpu.shares', 'cpu.cfs_period_us', 'cpu.cfs_quota_us', 'cpuset.cpus', 'cpuset.mems'],
    ...['memory.memsw.limit_in_bytes', 'memory.limit_in_bytes'],
  ],
  2: ['cpu.weight', 'cpu.max', 'cpuset.cpus', 'cpuset.mems', 'memory.max', 'memory.swap.max'],
};

/** The limits of a group, raw, and those in `more` files; a file that is not there is left out. */
export function cgroupSettings(layout: CgroupLayout, path: string, more: string[] = []): Map<string, string> {
  const settings = new Map<string, string>();
  for (const file of new Set([...limitFiles[layout.version], ...more])) {
    const place = settingFile(layout, path, file);
    const value = place === undefined ? undefined : readKernelFile(place)?.trim();
    if (value !== undefined) settings.set(file, value);
  }
  return settings;
}

/**
 * Sets limits back to what {@link cgroupSettings} read. Twice over, because one may bound the other: memory and memory
 * with swap, quota and period. What the kernel still refuses then stays as it is.
 */
export function cgroupRestore(layout: CgroupLayout, path: string, settings: Map<string, string>): void {
  for (let round = 0; round < 2; round++) {
    for (const [file, value] of settings) {
      const place = settingFile(layout, path, file)!;
      if (readKernelFile(place)?.trim() === value) continue;
      try {
        writeFileSync(place, value, { flag: 'r+' });
      } catch {
        // The next round, or nobody, can.
      }
    }
  }
}

/** Writes one file of a group, `memory.high` for example. @throws Error of the file system that names it */
export function cgroupWrite(
  layout: CgroupLayout,
  path: string,
  [file, value]: [file: string, value: string],
): void {
  const place = settingFile(layout, path, file);
  if (place === undefined) throw new Error(`write ${file}: no such controller`);
  writeFileSync(place, value, { flag: 'r+' });
}

/**
 * True where a limit of swap can be set: older kernels count it only with `swapaccount=1`. On version 2 the root has no
 * such files, so any group below it tells.
 */
export function cgroupCountsSwap(layout: CgroupLayout): boolean {
  const root = cgroupDir(layout, '/', 'memory');
  if (root === undefined) return false;
  if (layout.version === 1) return existsSync(`${root}/memory.memsw.limit_in_bytes`);
  const groups = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return groups.some(({ name }) => existsSync(`${root}/${name}/memory.swap.max`));
}

function settingFile(layout: CgroupLayout, path: string, file: string): string | undefined {
  const dir = cgroupDir(layout, path, file.slice(0, file.indexOf('.')));
  return dir === undefined ? undefined : `${dir}/${file}`;
}
