import { closeSync, readlinkSync } from 'node:fs';
import { chmodAt, lstatAt, mkdirAt, openDirInRoot, openRootDir, pathAt, SyscallError } from '@amphipod/linux';
import { ImageError } from '../errors.ts';
import { displayPath } from '../tar/tar-entry.ts';
import { clampPath, joinPath, splitPath } from './tree-paths.ts';
import { isWhiteout, replaceWhiteoutByDirectory } from './whiteouts.ts';

const ENOENT = 2;
const EEXIST = 17;
const ENOTDIR = 20;
const maxOpen = 64;
/** As many links as the kernel follows in one path. */
const maxLinks = 40;

/** Directories of a tree that is being written, opened below its root by the kernel; missing ones are made. */
export class DirectoryCache implements Disposable {
  readonly rootFd: number;
  readonly #rootPath: string;
  readonly #open = new Map<string, number>();
  /** Directories that had no member of their own when they were needed: inode to path below the root. */
  readonly implicit = new Map<number, string>();
  /** How many were made. */
  made = 0;

  constructor(root: string) {
    this.rootFd = openRootDir(root);
    if (this.rootFd < 0) throw new SyscallError('openat2', -this.rootFd, root);
    this.#rootPath = this.#procPath(this.rootFd);
  }

  /** A descriptor of directory `path` (clean), valid until other directories have been asked for. @throws ImageError */
  get(path: string): number {
    return this.#get(path, 0);
  }

  /** As {@link get}, but a missing or changed directory gives undefined. */
  find(path: string): number | undefined {
    const cached = this.#cached(path);
    if (cached !== undefined) return cached;
    const fd = openDirInRoot(this.rootFd, path);
    return fd < 0 ? undefined : this.#keep(path, fd);
  }

  /** What was opened may be somewhere else now. */
  clear(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  /** The path of an open directory below the root. */
  pathOf(fd: number): string {
    const path = this.#procPath(fd);
    if (path !== this.#rootPath && !path.startsWith(`${this.#rootPath}/`)) {
      throw new ImageError('unsafe-path', `unpack: directory ${displayPath(path)} is not below its root`);
    }
    return path.slice(this.#rootPath.length + 1);
  }

  #get(path: string, links: number): number {
    const cached = this.#cached(path);
    if (cached !== undefined) return cached;
    let fd = openDirInRoot(this.rootFd, path);
    if (fd === -ENOENT || fd === -ENOTDIR) {
      this.#make(path, links);
      fd = openDirInRoot(this.rootFd, path);
    }
    if (fd < 0) throw refused(path, -fd);
    return this.#keep(path, fd);
  }

  #cached(path: string): number | undefined {
    if (path === '') return this.rootFd;
    const fd = this.#open.get(path);
    if (fd === undefined) return undefined;
    // Back to the end: what is in use must not be the next to be closed.
    this.#open.delete(path);
    this.#open.set(path, fd);
    return fd;
  }

  #keep(path: string, fd: number): number {
    if (this.#open.size >= maxOpen) {
      const [oldest, oldFd] = this.#open.entries().next().value!;
      this.#open.delete(oldest);
      closeSync(oldFd);
    }
    this.#open.set(path, fd);
    return fd;
  }

  #make(path: string, links: number): void {
    const [parent, name] = splitPath(path);
    const parentFd = this.#get(parent, links);
    const made = mkdirAt(parentFd, name, 0o755);
    if (made === 0) {
      // The umask had its way with the mode.
      chmodAt(parentFd, name, 0o755);
      this.#recordImplicit(parentFd, name);
      return;
    }
    if (made !== -EEXIST) throw refused(path, -made);
    const stats = lstatAt(parentFd, name);
    if (isWhiteout(stats)) {
      // What is below is deleted, so there are no attributes to take over either.
      replaceWhiteoutByDirectory(parentFd, name);
      this.made += 1;
    } else if (stats?.isSymbolicLink() && links < maxLinks) {
      // A link to a directory that is not there yet: make it where the link points, inside the root.
      const target = readlinkSync(pathAt(parentFd, name), 'latin1');
      const base = target.startsWith('/') ? '' : this.pathOf(parentFd);
      this.#get(clampPath(`${base}/${target}`), links + 1);
    }
  }

  #recordImplicit(parentFd: number, name: string): void {
    this.made += 1;
    const path = joinPath(this.pathOf(parentFd), name);
    const stats = lstatAt(parentFd, name);
    if (stats === undefined) throw refused(path, ENOENT);
    this.implicit.set(stats.ino, path);
  }

  #procPath(fd: number): string {
    return readlinkSync(`/proc/self/fd/${fd}`, 'latin1');
  }

  [Symbol.dispose](): void {
    this.clear();
    closeSync(this.rootFd);
  }
}

function refused(path: string, errno: number): ImageError {
  const cause = new SyscallError('openat2', errno, Buffer.from(path, 'latin1').toString('utf8'));
  return new ImageError('invalid-archive', `unpack into directory ${displayPath(path)}: ${cause.message}`, {
    cause,
  });
}
