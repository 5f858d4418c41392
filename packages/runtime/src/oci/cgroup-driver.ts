import { statSync } from 'node:fs';
import { isCode } from '@amphipod/linux';
import { CriError } from '../errors.ts';

/** cgroupfs: the OCI runtime makes directories. systemd: it asks systemd for a scope in a slice. */
export type CgroupDriver = 'cgroupfs' | 'systemd';

export const cgroupDrivers: readonly CgroupDriver[] = ['cgroupfs', 'systemd'];

/** Where systemd runs it owns the tree, and nobody else should write there (systemd's CGROUP_DELEGATION). */
export function detectCgroupDriver(): CgroupDriver {
  try {
    return statSync('/run/systemd/system').isDirectory() ? 'systemd' : 'cgroupfs';
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return 'cgroupfs';
    throw error;
  }
}

const scopePrefix = 'cri-amphipod';

/** Path of the cgroup of a container or init named `name` in its pod's `parent`. */
export function leafCgroup(driver: CgroupDriver, parent: string, name: string): string {
  return driver === 'systemd' ? `${parent}/${scopePrefix}-${name}.scope` : `${parent}/${name}`;
}

/** `linux.cgroupsPath` for the OCI runtime: a path, or `SLICE:PREFIX:NAME` for systemd. @param path of {@link leafCgroup} */
export function ociCgroupsPath(driver: CgroupDriver, path: string): string {
  if (driver === 'cgroupfs') return path;
  const [slice = '-.slice', scope = ''] = path.split('/').slice(-2);
  return `${slice || '-.slice'}:${scopePrefix}:${scope.slice(scopePrefix.length + 1, -'.scope'.length)}`;
}

/** The annotation that has systemd forget a scope also when it failed, by an out-of-memory kill for example. */
export function scopeAnnotations(driver: CgroupDriver): Record<string, string> {
  return driver === 'systemd' ? { 'org.systemd.property.CollectMode': "'inactive-or-failed'" } : {};
}

/** Parent of the cgroups of pods for which no cgroup_parent was given. */
export function ownCgroup(driver: CgroupDriver): string {
  return driver === 'systemd' ? '/amphipod.slice' : '/amphipod';
}

/** The pod's cgroup below {@link ownCgroup}. */
export function ownPodCgroup(driver: CgroupDriver, sandboxId: string): string {
  const parent = ownCgroup(driver);
  return driver === 'systemd' ? `${parent}/amphipod-${sandboxId}.slice` : `${parent}/${sandboxId}`;
}

/**
 * The path behind a pod's `cgroup_parent`: `/kubepods/burstable/podUID` or, for systemd, a slice by its name or path.
 * @returns '' for the root
 * @throws CriError invalid-argument for a parent of the other driver, which would end up in the wrong place
 */
export function parentCgroup(driver: CgroupDriver, given: string): string {
  const subject = `linux.cgroup_parent ${JSON.stringify(given)}`;
  const isSlice = given.endsWith('.slice');
  const refused = (why: string) => new CriError('invalid-argument', `${subject}: ${why}`);
  if (driver === 'systemd') {
    if (!isSlice)
      throw refused('is not a slice; this runtime uses the systemd cgroup driver, see RuntimeConfig');
    return sliceCgroup(given.slice(given.lastIndexOf('/') + 1), subject);
  }
  if (isSlice) throw refused('is of the systemd driver; this runtime uses cgroupfs, see RuntimeConfig');
  if (!given.startsWith('/') || given.split('/').includes('..')) throw refused('must be absolute');
  return given === '/' ? '' : given.replace(/\/+$/, '');
}

/** `a-b.slice` is inside `a.slice` (systemd.slice(5)). */
function sliceCgroup(name: string, subject: string): string {
  if (name === '-.slice') return '';
  const stem = name.slice(0, -'.slice'.length);
  if (!/^[\w:.\\]+(-[\w:.\\]+)*$/.test(stem))
    throw new CriError('invalid-argument', `${subject}: ${JSON.stringify(name)} is no name of a slice`);
  const parts = stem.split('-');
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join('-')}.slice`).join('');
}
