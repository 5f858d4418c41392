import koffi from 'koffi';
import { SyscallError } from './errors.ts';

const libc = koffi.load('libc.so.6');

const fns = {
  unshare: libc.func('int unshare(int flags)'),
  setns: libc.func('int setns(int fd, int nstype)'),
  sethostname: libc.func('int sethostname(const char *name, size_t len)'),
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *addr, unsigned int len)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, void *len)'),
  connect: libc.func('int connect(int fd, const void *addr, unsigned int len)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  accept4: libc.func('int accept4(int fd, void *addr, void *len, int flags)'),
  dup3: libc.func('int dup3(int fd, int target, int flags)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int len)'),
  send: libc.func('long send(int fd, const void *buf, size_t len, int flags)'),
  recv: libc.func('long recv(int fd, void *buf, size_t len, int flags)'),
  sendto: libc.func(
    'long sendto(int fd, const void *buf, size_t len, int flags, const void *addr, unsigned int addrlen)',
  ),
  recvfrom: libc.func('long recvfrom(int fd, void *buf, size_t len, int flags, void *addr, void *addrlen)'),
  poll: libc.func('int poll(void *fds, unsigned long n, int timeout)'),
  flock: libc.func('int flock(int fd, int op)'),
  syncfs: libc.func('int syncfs(int fd)'),
  ioctlNumber: libc.func('ioctl', 'int', ['int', 'unsigned long', 'unsigned long']),
  ioctlPointer: libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *']),
  syscall3: libc.func('syscall', 'long', ['long', 'long', 'long', 'long']),
};

type Fns = typeof fns;
export type LibcName = keyof Fns;

/** Calls a libc function and throws {@link SyscallError} when it returns a negative number. `path` is for the error text. */
export function libcCall(name: LibcName, path: string | undefined, ...args: unknown[]): number {
  const result = libcTry(name, ...args);
  if (result < 0) throw new SyscallError(fns[name].name, -result, path);
  return result;
}

/** As {@link libcCall} without the throw: the result, or the negated errno. For hot paths that expect EAGAIN. */
export function libcTry(name: LibcName, ...args: unknown[]): number {
  return uninterrupted(fns[name], ...args);
}

/** Calls a function of libc, again as long as signals interrupt it. @returns its result, or the negated errno */
export function uninterrupted(fn: (...args: unknown[]) => unknown, ...args: unknown[]): number {
  for (;;) {
    const result = Number(fn(...args));
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) return -errno;
  }
}

/**
 * Runs a blocking libc function in libuv's thread pool. A failed call resolves to -1: the pool thread's errno is
 * not readable here, so callers learn the reason in another way.
 */
export function libcAsync(name: LibcName, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    fns[name].async(...args, (error: Error | null, result: unknown) =>
      error === null ? resolve(Number(result)) : reject(error),
    );
  });
}

/** A C int in memory: the value or the length of a socket option. */
export function cInt(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
}

const EINTR = 4;
export const EAGAIN = 11;
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
