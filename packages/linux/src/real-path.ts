import { closeSync, readlinkSync } from 'node:fs';
import { SyscallError } from './errors.ts';
import { openPathBeneath, openPathInRoot, openRootDir } from './rooted.ts';

/**
 * The path without links of something below `root`. Links may lead around below it but not out, nor may ".." or a leading
 * slash: the kernel looks (openat2(2), RESOLVE_BENEATH), so what is outside makes no difference.
 * @param path UTF-8 @throws SyscallError EXDEV for a way out, ENOENT, ENOTDIR, ELOOP
 */
export function realPathBeneath(root: string, path: string): string {
  return realPath(root, path, openPathBeneath);
}

/** As {@link realPathBeneath} with `root` as `/`: absolute links and ".." stay inside (RESOLVE_IN_ROOT). */
export function realPathInRoot(root: string, path: string): string {
  return realPath(root, path, openPathInRoot);
}

function realPath(root: string, path: string, open: (rootFd: number, path: string) => number): string {
  const rootFd = checked(openRootDir(root), root);
  try {
    const fd = checked(open(rootFd, Buffer.from(path, 'utf8').toString('latin1')), path);
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(rootFd);
  }
}

function checked(result: number, path: string): number {
  if (result < 0) throw new SyscallError('openat2', -result, path);
  return result;
}
