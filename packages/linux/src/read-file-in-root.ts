import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { errnoInfo, SyscallError } from './errors.ts';
import { openFileInRoot, openRootDir } from './rooted.ts';

/**
 * Contents of a regular file as text, found as if `root` were the root directory: absolute links and ".." stay inside,
 * by the kernel. Undefined when there is none; other kinds of file count as none.
 * @throws SyscallError
 */
export function readFileInRoot(root: string, path: string): string | undefined {
  const rootFd = checked(openRootDir(root), root);
  let fd: number;
  try {
    fd = openFileInRoot(rootFd, path);
  } finally {
    closeSync(rootFd);
  }
  if (fd < 0 && ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(errnoInfo(-fd)[0])) return undefined;
  checked(fd, path);
  try {
    return fstatSync(fd).isFile() ? readFileSync(fd, 'utf8') : undefined;
  } finally {
    closeSync(fd);
  }
}

function checked(result: number, path: string): number {
  if (result < 0) throw new SyscallError('openat2', -result, path);
  return result;
}
