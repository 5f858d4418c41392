import { chmodSync, closeSync, constants, openSync, unlinkSync } from 'node:fs';
import koffi from 'koffi';
import { SyscallError } from './errors.ts';
import { uninterrupted } from './libc.ts';
import { mknodAt } from './rooted.ts';

const libc = koffi.load('libc.so.6');
const fns = {
  fsopen: libc.func('syscall', 'long', ['long', 'const char *', 'unsigned int']),
  fsconfig: libc.func('syscall', 'long', ['long', 'int', 'unsigned int', 'void *', 'void *', 'int']),
  fsmount: libc.func('syscall', 'long', ['long', 'int', 'unsigned int', 'unsigned int']),
};

// The same on every architecture (include/uapi/asm-generic/unistd.h).
const SYS_fsopen = 430;
const SYS_fsconfig = 431;
const SYS_fsmount = 432;
// include/uapi/linux/mount.h
const FSOPEN_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;

const readWriteForAll = 0o666;
/** The numbers of /dev/null (Documentation/admin-guide/devices.txt). */
const nullDevice = { mode: constants.S_IFCHR | readWriteForAll, major: 1, minor: 3 };

/**
 * Null devices that are nobody else's, on a file system that is mounted nowhere: what a program does to the owner and mode of one
 * does not reach /dev/null. Needs Linux 5.2 and the right to make device files.
 */
export class NullDevices implements Disposable {
  readonly #mountFd: number;
  #made = 0;

  /** @throws SyscallError */
  constructor() {
    const contextFd = call('fsopen', SYS_fsopen, 'tmpfs', FSOPEN_CLOEXEC);
    try {
      call('fsconfig', SYS_fsconfig, contextFd, FSCONFIG_CMD_CREATE, null, null, 0);
      // No attribute: a device can be opened here, as it cannot where `nodev` is mounted, on /run for one.
      this.#mountFd = call('fsmount', SYS_fsmount, contextFd, FSMOUNT_CLOEXEC, 0);
    } finally {
      closeSync(contextFd);
    }
  }

  /**
   * Makes one and opens it for reading and writing. It is gone when its last descriptor is closed.
   * @throws SyscallError
   */
  open(): number {
    const name = `null-${this.#made++}`;
    const result = mknodAt(this.#mountFd, name, nullDevice);
    if (result < 0) throw new SyscallError('mknodat', -result, name);
    const path = `/proc/self/fd/${this.#mountFd}/${name}`;
    try {
      // Whatever the umask left of it: a program may open its standard input by name.
      chmodSync(path, readWriteForAll);
      return openSync(path, 'r+');
    } finally {
      unlinkSync(path);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#mountFd);
  }
}

function call(name: keyof typeof fns, ...args: unknown[]): number {
  const result = uninterrupted(fns[name], ...args);
  if (result < 0) throw new SyscallError(name, -result);
  return result;
}
