import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  statSync,
} from 'node:fs';
import { isCode, mount, mountIdMapped, unmount } from '@amphipod/linux';
import { ImageError } from '../errors.ts';
import type { RootfsMount } from '../image.ts';

/** mount(2) takes one page of options. */
const maxOptionBytes = 4095;
const O_PATH = 0o10000000;

/** A mount of a root file system, and the store that its layers are in. */
export interface OverlayMount extends RootfsMount {
  storeRoot: string;
}

/**
 * Mounts layers with a writable one above: `mount -t overlay -o lowerdir=…,upperdir=…,workdir=… overlay TARGET`.
 * @param lowerDirs top layer first, at least one @throws ImageError id-map-unsupported, SyscallError
 */
export function mountOverlay(lowerDirs: readonly string[], rootfs: OverlayMount): void {
  const { idMap, storeRoot } = rootfs;
  if (idMap === undefined) {
    mountDirs(lowerDirs, rootfs);
    return;
  }
  // One mount serves all layers. It is only needed until overlayfs has made its own copies of it.
  const mapped = idMappedDir(storeRoot);
  mkdirSync(mapped, { recursive: true, mode: 0o700 });
  try {
    mountIdMapped(storeRoot, mapped, { userNs: idMap.userNs, readOnly: true });
    mountDirs(
      lowerDirs.map((dir) => `${mapped}${dir.slice(storeRoot.length)}`),
      rootfs,
    );
  } catch (error) {
    throw isCode(error, 'EINVAL', 'ENOSYS', 'EOPNOTSUPP') ? unsupported(rootfs, error) : error;
  } finally {
    unmount(mapped);
  }
}

/** Where layers are mounted with other owners for a moment; empty but for that, also after a crash ({@link unmount} it then). */
export function idMappedDir(storeRoot: string): string {
  return `${storeRoot}/id-mapped`;
}

function unsupported({ target, storeRoot }: OverlayMount, cause: unknown): ImageError {
  const text =
    `mount ${JSON.stringify(target)} for a user namespace: ${(cause as Error).message}; ` +
    `it needs overlayfs of Linux 5.19, and idmapped mounts of the file system of ${JSON.stringify(storeRoot)}`;
  return new ImageError('id-map-unsupported', text, { cause });
}

function mountDirs(lowerDirs: readonly string[], rootfs: RootfsMount): void {
  const { upperDir, workDir, target } = rootfs;
  const suffix = rootfs.volatile ? ',volatile' : '';
  makeUpper(upperDir, lowerDirs[0]!);
  mkdirSync(workDir, { recursive: true, mode: 0o700 });
  mkdirSync(target, { recursive: true });
  const plain = [...lowerDirs, upperDir, workDir];
  const data = options(plain) + suffix;
  if (Buffer.byteLength(data) <= maxOptionBytes && plain.every((path) => !/[:,\\]/.test(path))) {
    mount(target, { source: 'overlay', type: 'overlay', data });
    return;
  }
  // Descriptors have short names without separators: 200 layers fit, on any kernel and without a change of directory.
  const fds = plain.map((path) => openSync(path, O_PATH | constants.O_DIRECTORY));
  try {
    mount(target, {
      source: 'overlay',
      type: 'overlay',
      data: options(fds.map((fd) => `/proc/self/fd/${fd}`)) + suffix,
    });
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

function options(dirs: readonly string[]): string {
  return `lowerdir=${dirs.slice(0, -2).join(':')},upperdir=${dirs.at(-2)},workdir=${dirs.at(-1)}`;
}

/** The root of the mount looks like the upper directory: it takes owner and mode from the image's root. */
function makeUpper(upperDir: string, topLayer: string): void {
  if (existsSync(upperDir)) return;
  const { mode, uid, gid } = statSync(topLayer);
  mkdirSync(upperDir, { recursive: true });
  chownSync(upperDir, uid, gid);
  chmodSync(upperDir, mode & 0o7777);
}
