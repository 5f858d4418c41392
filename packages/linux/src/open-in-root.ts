import { closeSync, constants, fstatSync, readFileSync } from 'node:fs';
import { SyscallError } from './errors.ts';
import { libcTry } from './libc.ts';

const SYS_openat2 = 437; // the same number on every architecture
// include/uapi/linux/openat2.h
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
const AT_FDCWD = -100;
const EAGAIN = 11;
const O_PATH = 0o10000000;

/**
 * Opens `path` as if `root` were the root directory: absolute links and ".." stay inside, by the kernel.
 * `root` is a path or an open directory.
 * @throws SyscallError ENOENT, ELOOP, …
 */
export function openInRoot(root: string | number, path: string, flags: number = constants.O_RDONLY): number {
  if (typeof root === 'number') return openAt(root, path, flags);
  const fd = openAt(AT_FDCWD, root, O_PATH | constants.O_DIRECTORY, 0);
  try {
    return openAt(fd, path, flags);
  } finally {
    closeSync(fd);
  }
}

function openAt(
  dirFd: number,
  path: string,
  flags: number,
  resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
) {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | 0o2000000), 0);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  for (let attempt = 0; ; attempt++) {
    const fd = libcTry('openat2', SYS_openat2, dirFd, path, how, how.length);
    if (fd >= 0) return fd;
    // The kernel gives EAGAIN when a rename elsewhere raced with a "..": it asks for another try.
    if (fd !== -EAGAIN || attempt > 100) throw new SyscallError('openat2', -fd, path);
  }
}

/** Contents of a regular file below `root` as text; undefined when there is none. Other kinds of file count as none. */
export function readFileInRoot(root: string, path: string): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof SyscallError && ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(error.code))
      return undefined;
    throw error;
  }
  try {
    return fstatSync(fd).isFile() ? readFileSync(fd, 'utf8') : undefined;
  } finally {
    closeSync(fd);
  }
}
