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
import { isCode, listXattrs, mount, mountIdMapped, setXattrAt, unmount, utimesAt } from '@amphipod/linux';
import { ImageError } from '../errors.ts';
import type { RootfsMount } from '../image.ts';
import { isOpaque } from '../unpack/whiteouts.ts';

/** mount(2) takes one page of options. */
const maxOptionBytes = 4095;
const O_PATH = 0o10000000;

/**
 * The layers down to the first that hides everything below it (`/.wh..wh..opq`): overlayfs heeds that mark in directories,
 * but not in the root of a layer. @param lowerDirs top layer first
 */
export function visibleLayers(lowerDirs: string[]): string[] {
  const last = lowerDirs.findIndex((dir) => isOpaque(Buffer.from(dir).toString('latin1')));
  return last < 0 ? lowerDirs : lowerDirs.slice(0, last + 1);
}

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

/** The root of the mount looks like the upper directory: it takes owner, mode, time and attributes from the image's root. */
function makeUpper(upperDir: string, topLayer: string): void {
  if (existsSync(upperDir)) return;
  const { mode, uid, gid, mtimeNs } = statSync(topLayer, { bigint: true });
  mkdirSync(upperDir, { recursive: true });
  chownSync(upperDir, Number(uid), Number(gid));
  chmodSync(upperDir, Number(mode & 0o7777n));
  const dirFd = openSync(upperDir, O_PATH | constants.O_DIRECTORY);
  try {
    for (const xattr of listXattrs(Buffer.from(topLayer).toString('latin1'))) {
      // Labels are the runtime's, and what overlayfs notes about a layer is not for the one above.
      if (!/^(security|(trusted|user)\.overlay)\./.test(xattr.name)) setXattrAt(dirFd, '.', xattr);
    }
    utimesAt(dirFd, '.', mtimeNs);
  } finally {
    closeSync(dirFd);
  }
}
