import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { SyscallError } from './errors.ts';
import { AT_FDCWD, uninterrupted } from './libc.ts';
import { MS } from './mounts.ts';

const libc = koffi.load('libc.so.6');
const fns = {
  open_tree: libc.func('syscall', 'long', ['long', 'int', 'const char *', 'unsigned int']),
  mount_setattr: libc.func('syscall', 'long', [
    ...['long', 'int', 'const char *', 'unsigned int', 'const void *', 'size_t'],
  ]),
  move_mount: libc.func('syscall', 'long', [
    ...['long', 'int', 'const char *', 'int', 'const char *', 'unsigned int'],
  ]),
};

// The same on every architecture (include/uapi/asm-generic/unistd.h).
const SYS_open_tree = 428;
const SYS_move_mount = 429;
const SYS_mount_setattr = 442;
// include/uapi/linux/mount.h, fcntl.h
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_RDONLY = 0x1;
const MOUNT_ATTR_IDMAP = 0x100000;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;

export interface IdMappedMountOptions {
  /** File of the user namespace whose maps apply: `/proc/PID/ns/user`, or where it is pinned. */
  userNs: string;
  readOnly?: boolean;
  /** What is mounted below `source` too. */
  recursive?: boolean;
}

/**
 * Bind mounts `source` on `target` so that user 0 on disk is the user that the namespace maps 0 to, and so on
 * (`mount --bind -o X-mount.idmap=USERNS`; mount_setattr(2)). Needs Linux 5.12 and a file system that can do it.
 * What is mounted below `source` later appears here too; nothing that happens here reaches `source`: were it a peer, unmounting
 * `target` would unmount what is below `source` on the host.
 * @throws SyscallError `mount_setattr` with EINVAL where the file system cannot, ENOSYS on an older kernel
 */
export function mountIdMapped(
  source: string,
  target: string,
  { userNs, readOnly = false, recursive = false }: IdMappedMountOptions,
): void {
  const depth = recursive ? AT_RECURSIVE : 0;
  const userNsFd = openSync(userNs, 'r');
  try {
    const treeFd = call('open_tree', source, [
      ...[SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | depth],
    ]);
    try {
      const attr = mountAttr(MOUNT_ATTR_IDMAP | (readOnly ? MOUNT_ATTR_RDONLY : 0), userNsFd);
      call('mount_setattr', source, [
        ...[SYS_mount_setattr, treeFd, '', AT_EMPTY_PATH | depth, attr, attr.byteLength],
      ]);
      call('move_mount', target, [
        ...[SYS_move_mount, treeFd, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH],
      ]);
    } finally {
      closeSync(treeFd);
    }
  } finally {
    closeSync(userNsFd);
  }
}

/** struct mount_attr: attr_set, attr_clr, propagation, userns_fd. */
function mountAttr(set: number, userNsFd: number): BigUint64Array {
  return BigUint64Array.of(BigInt(set), 0n, BigInt(MS.SLAVE), BigInt(userNsFd));
}

function call(name: keyof typeof fns, path: string, args: unknown[]): number {
  const result = uninterrupted(fns[name], ...args);
  if (result < 0) throw new SyscallError(name, -result, path);
  return result;
}
