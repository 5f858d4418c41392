import { type BigIntStats, closeSync, lstatSync, statSync } from 'node:fs';
import {
  chmodAt,
  chownAt,
  lstatAt,
  openDirInRoot,
  openRootDir,
  removeEmptyDirAt,
  removeTreeAt,
  SyscallError,
  utimesAt,
} from '@amphipod/linux';
import { splitPath } from './tree-paths.ts';
import { isOpaque, isWhiteout } from './whiteouts.ts';

/** What unpacking left open, as byte strings below the layer's directory. */
export interface Unsettled {
  /** Directories that the archive only implied, parents first; '' for the root. */
  implicitDirs: string[];
  whiteouts: string[];
}

/**
 * Fits an unpacked layer to the layers below it:
 * - Directories that its archive only implied get the owner, mode and time that they have below, so that a layer with
 *   nothing but `tmp/x` does not take the sticky bit from /tmp.
 * - Whiteouts in directories that hide nothing are removed: overlayfs shows them in listings, as files that are not there.
 * @param lowerDirs unpacked layers below, nearest first
 */
export function settleLayer(
  dir: string,
  lowerDirs: readonly string[],
  { implicitDirs, whiteouts }: Unsettled,
): void {
  const rootFd = openRootDir(dir);
  if (rootFd < 0) throw new SyscallError('openat2', -rootFd, dir);
  try {
    const layer = Buffer.from(dir).toString('latin1');
    const useless = whiteouts.filter((path) => !isMerged(layer, lowerDirs, splitPath(path)[0]));
    for (const path of useless) removeWhiteout(rootFd, path);
    for (const path of [...implicitDirs].reverse()) {
      const model = findInLayers(lowerDirs, path);
      if (model !== undefined) copyAttributes(rootFd, path, model);
      // Made for nothing but such whiteouts; others are not empty, and stay.
      else if (useless.length > 0 && path !== '')
        inParent(rootFd, path, (fd, name) => keepTime(fd, path, () => removeEmptyDirAt(fd, name)));
    }
  } finally {
    closeSync(rootFd);
  }
}

/** True when what is below shows through this directory of the layer. */
function isMerged(layer: string, lowerDirs: readonly string[], path: string): boolean {
  let at = layer;
  for (const part of ['', ...path.split('/')]) {
    at += part === '' ? '' : `/${part}`;
    if (isOpaque(at)) return false;
  }
  return findInLayers(lowerDirs, path) !== undefined;
}

function removeWhiteout(rootFd: number, path: string): void {
  inParent(rootFd, path, (dirFd, name) => {
    // A later member may have taken its place.
    if (!isWhiteout(lstatAt(dirFd, name))) return;
    keepTime(dirFd, path, () => check('remove whiteout', removeTreeAt(dirFd, name), path));
  });
}

/** A removal that does not show in the directory's time. */
function keepTime(dirFd: number, path: string, remove: () => void): void {
  const { mtimeNs } = statSync(`/proc/self/fd/${dirFd}`, { bigint: true });
  remove();
  check('set time', utimesAt(dirFd, '.', mtimeNs), path);
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
  let isHidden = false;
  for (const part of path === '' ? [] : path.split('/')) {
    isHidden ||= isOpaque(at);
    at += `/${part}`;
    stats = lstat(at);
    if (stats === undefined) return isHidden ? undefined : 'absent';
    if (!stats.isDirectory()) return undefined;
  }
  return stats;
}

function lstat(path: string): BigIntStats | undefined {
  return lstatSync(Buffer.from(path, 'latin1'), { throwIfNoEntry: false, bigint: true });
}

function copyAttributes(rootFd: number, path: string, model: BigIntStats): void {
  inParent(rootFd, path, (dirFd, name) => {
    check('set owner', chownAt(dirFd, name, { uid: Number(model.uid), gid: Number(model.gid) }), path);
    check('set mode', chmodAt(dirFd, name, Number(model.mode & 0o7777n)), path);
    check('set time', utimesAt(dirFd, name, model.mtimeNs), path);
  });
}

function inParent(rootFd: number, path: string, work: (dirFd: number, name: string) => void): void {
  const [parent, name] = splitPath(path);
  const dirFd = openDirInRoot(rootFd, parent);
  check('open directory', dirFd, parent);
  try {
    work(dirFd, name === '' ? '.' : name);
  } finally {
    closeSync(dirFd);
  }
}

function check(what: string, result: number, path: string): void {
  if (result < 0) throw new SyscallError(what, -result, Buffer.from(path, 'latin1').toString('utf8'));
}
