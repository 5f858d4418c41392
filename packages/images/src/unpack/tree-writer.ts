import { closeSync, constants, ftruncateSync, writeSync } from 'node:fs';
import {
  chmodAt,
  chownAt,
  createFileAt,
  linkAt,
  lstatAt,
  mkdirAt,
  mknodAt,
  removeTreeAt,
  SyscallError,
  setFileAttributes,
  symlinkAt,
  utimesAt,
} from '@amphipod/linux';
import { displayPath, type TarEntry } from '../tar/tar-entry.ts';
import type { TarSink } from '../tar/tar-reader.ts';
import { DirectoryCache } from './directory-cache.ts';
import { asEntryError, entryFailed, invalidEntry, unsafeEntry } from './entry-errors.ts';
import { applyXattrs } from './entry-xattrs.ts';
import type { Unsettled } from './settle-layer.ts';
import { cleanPath, joinPath, splitPath } from './tree-paths.ts';
import {
  addWhiteout,
  isInsideMeta,
  isWhiteout,
  parseWhiteoutName,
  replaceWhiteoutByDirectory,
  setOpaque,
  type WhiteoutName,
} from './whiteouts.ts';

/**
 * - `layer`: owners, modes, times and attributes as they are; deletions in overlay form
 * - `archive`: contents only, readable for us alone (for archives of images)
 */
export type TreeKind = 'layer' | 'archive';

const fileBlock = 4096;
const ENOENT = 2;
const EEXIST = 17;
const specialModes = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO } as const;

/**
 * Writes the members of a tar archive as files below a directory. Nothing outside is touched: the kernel sees to it. Somebody
 * else may change the tree in the meantime; what comes of that is an error of the member too.
 */
export class TreeWriter implements TarSink, Disposable {
  readonly #kind: TreeKind;
  readonly #dirs: DirectoryCache;
  readonly #onWarning: (text: string) => void;
  /** Times of directories, set at the end because every new name changes them: inode to what to set. */
  readonly #dirTimes = new Map<number, { path: string; mtimeNs: bigint }>();
  readonly #whiteouts: string[] = [];
  #entry: TarEntry | undefined;
  #fd = -1;
  #fileEnd = 0;
  #rootSeen = false;
  #staleDirs = false;
  #bytes = 0;
  #inodes = 1;

  constructor(root: string, kind: TreeKind, onWarning: (text: string) => void) {
    this.#kind = kind;
    this.#dirs = new DirectoryCache(root);
    this.#onWarning = onWarning;
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
    asEntryError(entry, 'unpack', () => this.#write(entry));
  }

  #write(entry: TarEntry): void {
    if (this.#staleDirs) this.#dirs.clear();
    this.#staleDirs = false;
    const path = cleanPath(entry.path);
    if (path === undefined) throw unsafeEntry(entry, 'it leads out of the root');
    if (path === '') {
      this.#root(entry);
      return;
    }
    if (this.#kind === 'layer' && isInsideMeta(splitPath(path)[0])) return;
    const [parent, name] = splitPath(path);
    const whiteout = this.#kind === 'layer' ? parseWhiteoutName(name) : undefined;
    const dirFd = this.#dirs.get(parent);
    if (whiteout !== undefined) this.#whiteout(dirFd, whiteout);
    else this.#make(entry, dirFd, path);
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#fd < 0) return;
    asEntryError(this.#entry, 'write', () => {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
      }
    });
    this.#fileEnd = offset + bytes.length;
    this.#bytes += bytes.length;
  }

  entryEnd(): void {
    if (this.#fd < 0) return;
    const entry = this.#entry!;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      asEntryError(entry, 'finish', () => {
        if (this.#fileEnd < entry.size) ftruncateSync(fd, entry.size);
        this.#bytes += (fileBlock - (this.#bytes % fileBlock)) % fileBlock;
        if (this.#kind === 'layer') {
          this.#check('set owner and mode of', setFileAttributes(fd, entry));
          applyXattrs(entry, { fd }, this.#onWarning);
        }
      });
    } finally {
      closeSync(fd);
    }
  }

  /** Sets what had to wait. Returns disk use, and what is to be settled when the layers below are known. */
  finish(): Unsettled & { diskBytes: number; inodes: number } {
    return asEntryError(this.#entry, 'finish', () => this.#settleTimes());
  }

  #settleTimes(): Unsettled & { diskBytes: number; inodes: number } {
    for (const [inode, { path, mtimeNs }] of this.#dirTimes) {
      const [parent, name] = splitPath(path);
      const dirFd = this.#dirs.find(parent);
      // A later member may have taken its place.
      if (dirFd === undefined || lstatAt(dirFd, name === '' ? '.' : name)?.ino !== inode) continue;
      this.#check('set time of', utimesAt(dirFd, name === '' ? '.' : name, mtimeNs));
    }
    const implicitDirs = [...this.#dirs.implicit]
      .filter(([inode, path]) => this.#isStill(inode, path))
      .map(([, path]) => path);
    return {
      diskBytes: this.#bytes + this.#dirs.made * fileBlock,
      inodes: this.#inodes + this.#dirs.made,
      whiteouts: this.#whiteouts,
      implicitDirs: this.#rootSeen ? implicitDirs : ['', ...implicitDirs],
    };
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#dirs[Symbol.dispose]();
  }

  #isStill(inode: number, path: string): boolean {
    const [parent, name] = splitPath(path);
    const dirFd = this.#dirs.find(parent);
    const stats = dirFd === undefined ? undefined : lstatAt(dirFd, name);
    return stats?.ino === inode && stats.isDirectory();
  }

  #root(entry: TarEntry): void {
    if (entry.type !== 'directory') throw unsafeEntry(entry, `the root cannot be a ${entry.type}`);
    this.#rootSeen = true;
    this.#directoryAttributes(this.#dirs.rootFd, '.', '');
  }

  #whiteout(dirFd: number, whiteout: NonNullable<WhiteoutName>): void {
    switch (whiteout.kind) {
      case 'meta':
        return;
      case 'opaque':
        this.#check('make opaque the directory of', setOpaque(dirFd, '.'));
        return;
      case 'whiteout': {
        const { name } = whiteout;
        if (name === '' || name === '.' || name === '..')
          throw unsafeEntry(this.#entry!, 'it deletes no name');
        this.#check('add whiteout', addWhiteout(dirFd, name));
        this.#whiteouts.push(joinPath(this.#dirs.pathOf(dirFd), name));
        this.#inodes += 1;
      }
    }
  }

  #make(entry: TarEntry, dirFd: number, path: string): void {
    const name = splitPath(path)[1];
    switch (entry.type) {
      case 'file':
        this.#fd = this.#place(dirFd, name, () => createFileAt(dirFd, name));
        this.#fileEnd = 0;
        break;
      case 'directory':
        this.#directory(dirFd, name);
        this.#directoryAttributes(dirFd, name, path);
        break;
      case 'symlink':
        this.#place(dirFd, name, () => symlinkAt(entry.linkPath, dirFd, name));
        break;
      case 'hardlink':
        this.#hardLink(dirFd, name, path);
        return;
      case 'char':
      case 'block':
      case 'fifo': {
        if (this.#kind === 'archive') throw invalidEntry(entry, `a ${entry.type} in an archive of images`);
        const mode = specialModes[entry.type] | 0o600;
        this.#place(dirFd, name, () =>
          mknodAt(dirFd, name, { mode, major: entry.devMajor, minor: entry.devMinor }),
        );
        break;
      }
    }
    this.#inodes += 1;
    if (entry.type === 'file' || entry.type === 'directory') return;
    this.#bytes += entry.type === 'symlink' && entry.linkPath.length >= 60 ? fileBlock : 0;
    this.#attributes(dirFd, name);
  }

  #directory(dirFd: number, name: string): void {
    let made = mkdirAt(dirFd, name, 0o700);
    if (made === -EEXIST) {
      const stats = lstatAt(dirFd, name);
      if (stats?.isDirectory()) return;
      if (isWhiteout(stats)) made = replaceWhiteoutByDirectory(dirFd, name);
      else made = this.#place(dirFd, name, () => mkdirAt(dirFd, name, 0o700));
    }
    this.#check('make directory', made);
    this.#bytes += fileBlock;
  }

  #directoryAttributes(dirFd: number, name: string, path: string): void {
    if (this.#kind !== 'layer') return;
    const entry = this.#entry!;
    this.#attributes(dirFd, name);
    const stats = lstatAt(dirFd, name);
    if (stats === undefined) throw entryFailed(this.#entry, 'look at', new SyscallError('lstat', ENOENT));
    const { ino } = stats;
    this.#dirs.implicit.delete(ino);
    this.#dirTimes.delete(ino);
    this.#dirTimes.set(ino, { path, mtimeNs: entry.mtimeNs });
  }

  #attributes(dirFd: number, name: string): void {
    if (this.#kind !== 'layer') return;
    const entry = this.#entry!;
    this.#check('set owner of', chownAt(dirFd, name, entry));
    // After chown, which clears setuid bits.
    if (entry.type !== 'symlink') this.#check('set mode of', chmodAt(dirFd, name, entry.mode));
    applyXattrs(entry, { dirFd, name }, this.#onWarning);
    if (entry.type !== 'directory') this.#check('set time of', utimesAt(dirFd, name, entry.mtimeNs));
  }

  #hardLink(dirFd: number, name: string, path: string): void {
    const target = cleanPath(this.#entry!.linkPath);
    if (target === undefined || target === '')
      throw unsafeEntry(this.#entry!, 'its hard link target leads out of the root');
    if (target === path) return;
    const [targetParent, targetName] = splitPath(target);
    const targetFd = this.#dirs.find(targetParent);
    const targetStats = targetFd === undefined ? undefined : lstatAt(targetFd, targetName);
    if (targetFd === undefined || targetStats === undefined || isWhiteout(targetStats)) {
      throw invalidEntry(
        this.#entry!,
        `its hard link target ${displayPath(this.#entry!.linkPath)} is not in the archive before it`,
      );
    }
    if (lstatAt(dirFd, name)?.ino === targetStats.ino) return;
    this.#place(dirFd, name, () => linkAt(targetFd, targetName, dirFd, name));
  }

  /** Makes something new under a name, in place of what is there: the last entry wins. */
  #place(dirFd: number, name: string, make: () => number): number {
    let made = make();
    if (made === -EEXIST) {
      this.#check('replace', removeTreeAt(dirFd, name));
      made = make();
      // Paths of other members may have led through what is gone.
      this.#staleDirs = true;
    }
    return this.#check('make', made);
  }

  #check(what: string, result: number): number {
    if (result >= 0) return result;
    throw entryFailed(this.#entry, what, new SyscallError(what, -result));
  }
}
