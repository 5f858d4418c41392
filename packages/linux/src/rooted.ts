import { closeSync, constants, lstatSync, readdirSync } from 'node:fs';
import koffi from 'koffi';
import { AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, EAGAIN, uninterrupted } from './libc.ts';

// File operations confined to a root directory by the kernel (openat2), for trees that a stranger wrote.
//
// Paths are *byte strings*: one character for each byte (latin1), because names in such trees need not be UTF-8.
// Every function gives what the system call gives: a result of zero or more, or a negated errno. Their callers run
// thousands of them and know best which failures are expected and what to name in an error.

const libc = koffi.load('libc.so.6');
const fns = {
  openat2: libc.func('syscall', 'long', ['long', 'int', 'void *', 'void *', 'size_t']),
  mkdirat: libc.func('int mkdirat(int dirfd, const void *path, unsigned int mode)'),
  symlinkat: libc.func('int symlinkat(const void *target, int dirfd, const void *path)'),
  linkat: libc.func('int linkat(int fromfd, const void *from, int tofd, const void *to, int flags)'),
  mknodat: libc.func('int mknodat(int dirfd, const void *path, unsigned int mode, unsigned long dev)'),
  unlinkat: libc.func('int unlinkat(int dirfd, const void *path, int flags)'),
  fchownat: libc.func(
    'int fchownat(int fd, const void *path, unsigned int uid, unsigned int gid, int flags)',
  ),
  fchmodat: libc.func('int fchmodat(int dirfd, const void *path, unsigned int mode, int flags)'),
  fchown: libc.func('int fchown(int fd, unsigned int uid, unsigned int gid)'),
  fchmod: libc.func('int fchmod(int fd, unsigned int mode)'),
  futimens: libc.func('int futimens(int fd, const void *times)'),
  utimensat: libc.func('int utimensat(int dirfd, const void *path, const void *times, int flags)'),
};

const SYS_openat2 = 437; // the same on every architecture
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
// include/uapi/linux/openat2.h
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_IN_ROOT = 0x10;
const EISDIR = 21;
const maxTries = 100;

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const directoryHow = openHow(
  O_PATH | O_DIRECTORY,
  0,
  RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
);
const leafResolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const newFileHow = openHow(O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600, leafResolve);
const listHow = openHow(O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, leafResolve | RESOLVE_NO_XDEV);
const parentHow = openHow(O_RDONLY | O_DIRECTORY, 0, 0);
const pathBeneathHow = openHow(O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
const pathInRootHow = openHow(O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
const readInRootHow = openHow(O_RDONLY | O_NONBLOCK, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
const readHow = openHow(O_RDONLY | O_NONBLOCK, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

/** Opens a directory of our own to be the root of the calls below. */
export function openRootDir(path: string): number {
  return openat2(AT_FDCWD, path, parentHow);
}

/** Opens directory `path` as if `rootFd` were `/`: links and ".." stay inside, mounts are not entered. For the *at calls only. */
export function openDirInRoot(rootFd: number, path: string): number {
  return openat2(rootFd, path === '' ? '.' : path, directoryHow);
}

/** Opens a file for reading below `rootFd`; links may lead around below it but not out (EXDEV). */
export function openBeneath(rootFd: number, path: string): number {
  return openat2(rootFd, path, readHow);
}

/** As {@link openBeneath} for anything, without opening it for reading (O_PATH). */
export function openPathBeneath(rootFd: number, path: string): number {
  return openat2(rootFd, path, pathBeneathHow);
}

/** Finds anything as if `rootFd` were `/`, without opening it for reading (O_PATH). */
export function openPathInRoot(rootFd: number, path: string): number {
  return openat2(rootFd, path, pathInRootHow);
}

/** Opens a file for reading as if `rootFd` were `/`. */
export function openFileInRoot(rootFd: number, path: string): number {
  return openat2(rootFd, path, readInRootHow);
}

/** Makes a file that must not exist (EEXIST), open for writing, mode 0600. `name` is one path component. */
export function createFileAt(dirFd: number, name: string): number {
  return openat2(dirFd, name, newFileHow);
}

export function mkdirAt(dirFd: number, name: string, mode: number): number {
  return uninterrupted(fns.mkdirat, dirFd, cString(name), mode);
}

export function symlinkAt(target: string, dirFd: number, name: string): number {
  return uninterrupted(fns.symlinkat, cString(target), dirFd, cString(name));
}

/** A hard link; a symlink as `fromName` is linked itself. */
export function linkAt(fromFd: number, fromName: string, toFd: number, toName: string): number {
  return uninterrupted(fns.linkat, fromFd, cString(fromName), toFd, cString(toName), 0);
}

/** `mode` with the S_IF… bits of the kind. */
export function mknodAt(
  dirFd: number,
  name: string,
  options: { mode: number; major: number; minor: number },
): number {
  return uninterrupted(
    fns.mknodat,
    dirFd,
    cString(name),
    options.mode,
    makeDev(options.major, options.minor),
  );
}

export function chownAt(dirFd: number, name: string, owner: { uid: number; gid: number }): number {
  return uninterrupted(fns.fchownat, dirFd, cString(name), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
}

/** A symlink is not followed, but refused (EOPNOTSUPP). */
export function chmodAt(dirFd: number, name: string, mode: number): number {
  return uninterrupted(fns.fchmodat, dirFd, cString(name), mode, AT_SYMLINK_NOFOLLOW);
}

/** Sets the modification time, and the access time to the same. */
export function utimesAt(dirFd: number, name: string, mtimeNs: bigint): number {
  return uninterrupted(fns.utimensat, dirFd, cString(name), times(mtimeNs), AT_SYMLINK_NOFOLLOW);
}

/** Owner, mode and modification time of an open file, in the order that keeps setuid bits. */
export function setFileAttributes(
  fd: number,
  { uid, gid, mode, mtimeNs }: { uid: number; gid: number; mode: number; mtimeNs: bigint },
): number {
  const owned = uninterrupted(fns.fchown, fd, uid, gid);
  if (owned < 0) return owned;
  const moded = uninterrupted(fns.fchmod, fd, mode);
  return moded < 0 ? moded : uninterrupted(fns.futimens, fd, times(mtimeNs));
}

/** A path to `name` in the directory `dirFd`, for calls of node:fs that do not follow a last link. As bytes. */
export function pathAt(dirFd: number, name: string): Buffer {
  return Buffer.from(procPath(dirFd, name), 'latin1');
}

/** lstat of `name` in `dirFd`; undefined when there is none. */
export function lstatAt(dirFd: number, name: string) {
  return lstatSync(pathAt(dirFd, name), { throwIfNoEntry: false });
}

/**
 * Removes `name` in `dirFd` with everything below it (`rm -rf`), however deep, never following links nor leaving the
 * directory; a missing one is fine. What is mounted below is not entered: EXDEV, with what was removed before it gone.
 */
export function removeTreeAt(dirFd: number, name: string): number {
  const result = unlink(dirFd, name, 0);
  if (result !== -EISDIR) return result;
  // One descriptor at a time, going up by "..", so that depth costs neither descriptors nor stack.
  const levels: { name: string; rest: string[] }[] = [];
  let fd = openat2(dirFd, name, listHow);
  if (fd < 0) return fd;
  levels.push({ name, rest: namesIn(fd) });
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const child = level.rest.pop();
    const unlinked = child === undefined ? 0 : unlink(fd, child, 0);
    let next = fd;
    if (child === undefined) {
      levels.pop();
      next = levels.length === 0 ? dirFd : openat2(fd, '..', parentHow);
      const removed = next < 0 ? next : unlink(next, level.name, AT_REMOVEDIR);
      if (removed < 0) return closed(fd, next === dirFd || next < 0 ? removed : closed(next, removed));
    } else if (unlinked === -EISDIR) {
      next = openat2(fd, child, listHow);
      if (next >= 0) levels.push({ name: child, rest: namesIn(next) });
    } else if (unlinked < 0) return closed(fd, unlinked);
    if (next < 0) return closed(fd, next);
    if (next !== fd) closeSync(fd);
    fd = next;
  }
  return 0;
}

/** `rmdir`: ENOTEMPTY when there is something in it. */
export function removeEmptyDirAt(dirFd: number, name: string): number {
  return unlink(dirFd, name, AT_REMOVEDIR);
}

function unlink(dirFd: number, name: string, flags: number): number {
  const result = uninterrupted(fns.unlinkat, dirFd, cString(name), flags);
  return result === -2 ? 0 : result;
}

function namesIn(fd: number): string[] {
  return readdirSync(`/proc/self/fd/${fd}`, { encoding: 'latin1' });
}

function closed(fd: number, result: number): number {
  closeSync(fd);
  return result;
}

/** A path to `name` in `dirFd` for calls that take no directory. */
export function procPath(dirFd: number, name: string): string {
  return `/proc/self/fd/${dirFd}/${name}`;
}

function openat2(dirFd: number, path: string, how: Buffer): number {
  const bytes = cString(path);
  for (let tries = 0; ; tries++) {
    const fd = uninterrupted(fns.openat2, SYS_openat2, dirFd, bytes, how, how.length);
    // A rename elsewhere raced with a "..": the kernel asks for another try.
    if (fd !== -EAGAIN || tries === maxTries) return fd;
  }
}

function openHow(flags: number, mode: number, resolve: number): Buffer {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return how;
}

/** A byte string as C has it. */
export function cString(text: string): Buffer {
  // A NUL inside would make the kernel see another path than the caller checked.
  if (text.includes('\0')) throw new RangeError(`path ${JSON.stringify(text)}: has a NUL byte`);
  return Buffer.from(`${text}\0`, 'latin1');
}

function times(mtimeNs: bigint): BigInt64Array {
  let seconds = mtimeNs / 1_000_000_000n;
  let nanoseconds = mtimeNs % 1_000_000_000n;
  if (nanoseconds < 0n) {
    seconds -= 1n;
    nanoseconds += 1_000_000_000n;
  }
  return BigInt64Array.of(seconds, nanoseconds, seconds, nanoseconds);
}

// makedev(3)
function makeDev(major: number, minor: number): bigint {
  const [ma, mi] = [BigInt(major), BigInt(minor)];
  return ((ma & 0xfffn) << 8n) | ((ma >> 12n) << 44n) | (mi & 0xffn) | ((mi >> 8n) << 20n);
}
