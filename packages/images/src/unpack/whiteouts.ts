import type { Stats } from 'node:fs';
import { chmodAt, getXattr, lstatAt, mkdirAt, mknodAt, removeTreeAt, setXattrAt } from '@amphipod/linux';

// Deletions of image layers (image-spec layer.md, "Whiteouts") in the form that overlayfs reads
// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").

const prefix = '.wh.';
const metaPrefix = '.wh..wh.';
const opaqueName = '.wh..wh..opq';
const S_IFCHR = 0o020000;
const EEXIST = 17;

/** What a name says: a deletion of `name`, an opaque marker for its directory, AUFS bookkeeping to be passed over, or nothing special. */
export type WhiteoutName =
  | { kind: 'whiteout'; name: string }
  | { kind: 'opaque' }
  | { kind: 'meta' }
  | undefined;

export function parseWhiteoutName(name: string): WhiteoutName {
  if (!name.startsWith(prefix)) return undefined;
  if (name === opaqueName) return { kind: 'opaque' };
  if (name.startsWith(metaPrefix)) return { kind: 'meta' };
  return { kind: 'whiteout', name: name.slice(prefix.length) };
}

/** True when a path goes through AUFS bookkeeping (`.wh..wh.plnk/`). */
export function isInsideMeta(path: string): boolean {
  return path.startsWith(metaPrefix) || path.includes(`/${metaPrefix}`);
}

/** True for a whiteout in overlay form: a character device 0:0. */
export function isWhiteout(stats: Stats | undefined): boolean {
  return stats?.isCharacterDevice() === true && stats.rdev === 0;
}

/**
 * Hides `name` of the layers below. What the layer itself brings under that name stays; if that is a directory, it no
 * longer shows what is below.
 */
export function addWhiteout(dirFd: number, name: string): number {
  const made = mknodAt(dirFd, name, { mode: S_IFCHR, major: 0, minor: 0 });
  if (made !== -EEXIST) return made;
  return lstatAt(dirFd, name)?.isDirectory() ? setOpaque(dirFd, name) : 0;
}

/** Hides everything that the layers below have in directory `name`. */
export function setOpaque(dirFd: number, name: string): number {
  return setXattrAt(dirFd, name, { name: 'trusted.overlay.opaque', value: Buffer.from('y') });
}

/** True for a directory (its path as a byte string) that hides what the layers below have in it. */
export function isOpaque(path: string): boolean {
  return getXattr(path, 'trusted.overlay.opaque')?.toString() === 'y';
}

/** A directory where the layer had a deletion before: the lower one stays hidden. */
export function replaceWhiteoutByDirectory(dirFd: number, name: string): number {
  removeTreeAt(dirFd, name);
  const made = mkdirAt(dirFd, name, 0o755);
  if (made < 0) return made;
  chmodAt(dirFd, name, 0o755);
  return setOpaque(dirFd, name);
}
