import koffi from 'koffi';
import { uninterrupted } from './libc.ts';
import { cString, procPath } from './rooted.ts';

// Extended attributes. Names and paths are byte strings; results are those of the system calls, as in rooted.ts.

const libc = koffi.load('libc.so.6');
const fns = {
  lsetxattr: libc.func(
    'int lsetxattr(const void *path, const void *name, const void *value, size_t n, int f)',
  ),
  lgetxattr: libc.func('long lgetxattr(const void *path, const void *name, void *value, size_t size)'),
  llistxattr: libc.func('long llistxattr(const void *path, void *list, size_t size)'),
  fsetxattr: libc.func('int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)'),
};
/** As large as the kernel's limit for a value and for a list of names (xattr(7)). */
const buffer = Buffer.alloc(64 * 1024);

export interface Xattr {
  name: string;
  value: Uint8Array;
}

/** Sets an attribute of `name` in `dirFd`; a symlink is not followed. */
export function setXattrAt(dirFd: number, name: string, xattr: Xattr): number {
  const path = cString(procPath(dirFd, name));
  return uninterrupted(fns.lsetxattr, path, cString(xattr.name), xattr.value, xattr.value.length, 0);
}

/** Sets an attribute of an open file. */
export function setXattr(fd: number, xattr: Xattr): number {
  return uninterrupted(fns.fsetxattr, fd, cString(xattr.name), xattr.value, xattr.value.length, 0);
}

/** An extended attribute of `path` (a byte string; a last link is not followed), undefined when there is none. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const size = uninterrupted(fns.lgetxattr, cString(path), cString(name), buffer, buffer.length);
  return size < 0 ? undefined : Buffer.from(buffer.subarray(0, size));
}

/** All extended attributes of `path` (a byte string; a last link is not followed), in the order of the file system. */
export function listXattrs(path: string): Xattr[] {
  const size = uninterrupted(fns.llistxattr, cString(path), buffer, buffer.length);
  const names = size <= 0 ? [] : buffer.toString('latin1', 0, size - 1).split('\0');
  return names.flatMap((name) => {
    const value = getXattr(path, name);
    return value === undefined ? [] : [{ name, value }];
  });
}
