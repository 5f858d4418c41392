import { type BigIntStats, closeSync, lstatSync } from 'node:fs';
import {
  chmodAt,
  chownAt,
  getXattr,
  openDirInRoot,
  openRootDir,
  SyscallError,
  utimesAt,
} from '@amphipod/linux';
import { splitPath } from './tree-paths.ts';

/**
 * Gives the directories that a layer's archive only implied the owner, mode and time that they have in the layers below,
 * so that a layer with nothing but `tmp/x` does not take the sticky bit from /tmp.
 * @param lowerDirs unpacked layers below, nearest first @param implicitDirs byte strings, parents first
 */
export function adoptParents(
  dir: string,
  lowerDirs: readonly string[],
  implicitDirs: readonly string[],
): void {
  const rootFd = openRootDir(dir);
  if (rootFd < 0) throw new SyscallError('openat2', -rootFd, dir);
  try {
    for (const path of implicitDirs) {
      const model = findInLayers(lowerDirs, path);
      if (model !== undefined) copyAttributes(rootFd, path, model);
    }
  } finally {
    closeSync(rootFd);
  }
}

/** The directory as seen through the layers, or undefined where it is hidden, missing, or something else. */
function findInLayers(lowerDirs: readonly string[], path: string): BigIntStats | undefined {
  for (const lower of lowerDirs) {
    const found = findInLayer(Buffer.from(lower).toString('latin1'), path);
    if (found !== 'absent') return found?.isDirectory() ? found : undefined;
  }
  return undefined;
}

/** Looks part by part, so that no link is followed: a link, a whiteout or an opaque directory hides what is below it. */
function findInLayer(lower: string, path: string): BigIntStats | 'absent' | undefined {
  let at = lower;
  let stats = lstat(at);
  let isOpaque = false;
  for (const part of path === '' ? [] : path.split('/')) {
    isOpaque ||= hasOpaqueMark(at);
    at += `/${part}`;
    stats = lstat(at);
    if (stats === undefined) return isOpaque ? undefined : 'absent';
    if (!stats.isDirectory()) return undefined;
  }
  return stats;
}

function lstat(path: string): BigIntStats | undefined {
  return lstatSync(Buffer.from(path, 'latin1'), { throwIfNoEntry: false, bigint: true });
}

function hasOpaqueMark(path: string): boolean {
  return getXattr(path, 'trusted.overlay.opaque')?.toString() === 'y';
}

function copyAttributes(rootFd: number, path: string, model: BigIntStats): void {
  const [parent, base] = splitPath(path);
  const name = base === '' ? '.' : base;
  const dirFd = openDirInRoot(rootFd, parent);
  if (dirFd < 0) throw new SyscallError('openat2', -dirFd, parent);
  try {
    for (const result of [
      chownAt(dirFd, name, { uid: Number(model.uid), gid: Number(model.gid) }),
      chmodAt(dirFd, name, Number(model.mode & 0o7777n)),
      utimesAt(dirFd, name, model.mtimeNs),
    ]) {
      if (result < 0) throw new SyscallError('copy attributes', -result, path);
    }
  } finally {
    closeSync(dirFd);
  }
}
