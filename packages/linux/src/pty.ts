import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { ReadStream } from 'node:tty';
import koffi from 'koffi';
import { isCode, SyscallError } from './errors.ts';
import { EAGAIN, libcCall, libcTry } from './libc.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from './socket-constants.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

koffi.struct('iovec', { base: 'void *', length: 'size_t' });
koffi.struct('msghdr', {
  name: 'void *',
  nameLength: 'uint32',
  iov: 'iovec *',
  iovLength: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});
const libc = koffi.load('libc.so.6');
const fns = {
  recvmsg: libc.func('long recvmsg(int fd, _Inout_ msghdr *message, int flags)'),
  fcntl: libc.func('int fcntl(int fd, int command, long argument)'),
};

// include/linux/socket.h, include/uapi/linux/fcntl.h, include/uapi/asm-generic/ioctls.h
const MSG_CMSG_CLOEXEC = 0x40000000;
const F_DUPFD_CLOEXEC = 1030;
const TIOCSWINSZ = 0x5414;
const EIO = 5;
/** struct cmsghdr and one descriptor, padded (cmsg(3)). */
const controlBytes = 24;

/** Size of a terminal in characters. */
export interface TerminalSize {
  columns: number;
  rows: number;
}

/**
 * The socket on which an OCI runtime hands over the master of a container's terminal (`--console-socket`,
 * SCM_RIGHTS). The file is removed at the end.
 */
export class ConsoleSocket implements Disposable {
  /** What the runtime is told: short, however long the path of the directory is. */
  readonly path: string;
  readonly #file: string;
  readonly #directory: number;
  readonly #fd: number;

  constructor(file: string) {
    this.#file = file;
    this.#directory = openSync(dirname(file), 'r');
    try {
      // sun_path holds 107 bytes; a path through a descriptor always fits.
      this.path = `/proc/${process.pid}/fd/${this.#directory}/${basename(file)}`;
      this.#fd = libcCall('socket', undefined, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    } catch (error) {
      closeSync(this.#directory);
      throw error;
    }
    try {
      const address = unixAddress(this.path);
      libcCall('bind', file, this.#fd, address, address.length);
      libcCall('listen', file, this.#fd, 1);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** The descriptor that was sent; the caller closes it. Does not wait: undefined when none has been sent. */
  take(): number | undefined {
    const connection = libcTry('accept4', this.#fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection === -EAGAIN) return undefined;
    if (connection < 0) throw new SyscallError('accept4', -connection, this.#file);
    try {
      return receiveDescriptor(connection);
    } finally {
      closeSync(connection);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.#file, { force: true });
    closeSync(this.#directory);
  }
}

function receiveDescriptor(connection: number): number | undefined {
  // With the descriptor comes its name, which nobody needs.
  const data = Buffer.alloc(4096);
  const control = Buffer.alloc(controlBytes);
  const message = {
    name: null,
    nameLength: 0,
    iov: { base: data, length: data.length },
    iovLength: 1,
    control,
    controlLength: control.length,
    flags: 0,
  };
  const size = Number(fns.recvmsg(connection, message, MSG_CMSG_CLOEXEC));
  if (size < 0) throw new SyscallError('recvmsg', koffi.errno());
  return Number(message.controlLength) < 20 ? undefined : control.readInt32LE(16);
}

/** Sets the size of a terminal, as `stty rows R columns C` does; programs in it get SIGWINCH. Fine when it is hung up. */
export function resizeTerminal(fd: number, { columns, rows }: TerminalSize): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  const result = libcTry('ioctlPointer', fd, TIOCSWINSZ, size);
  if (result < 0 && result !== -EIO) throw new SyscallError('ioctl TIOCSWINSZ', -result);
}

/**
 * The master of a pseudo terminal as a stream for reading and writing, on a descriptor of its own. It may end before it
 * has handed out everything that was written: what is left is for {@link readAvailable}.
 */
export function terminalStream(master: number): ReadStream {
  const fd = fns.fcntl(master, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throw new SyscallError('fcntl F_DUPFD_CLOEXEC', koffi.errno());
  return new ReadStream(fd);
}

/** All that can be read without waiting from a non-blocking descriptor. A terminal without its other end is empty. */
export function readAvailable(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.allocUnsafe(65_536);
    try {
      const size = readSync(fd, chunk);
      if (size === 0) break;
      chunks.push(chunk.subarray(0, size));
    } catch (error) {
      if (isCode(error, 'EAGAIN', 'EIO')) break;
      throw error;
    }
  }
  return Buffer.concat(chunks);
}
