import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { libcCall } from './libc.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM } from './socket-constants.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

/**
 * Connects to a Unix socket of packets (SOCK_SEQPACKET), which Node.js does not know. In flowing mode each 'data' is
 * one packet. Each write is one packet too if the one before it has been called back.
 * @throws SyscallError ENOENT, ECONNREFUSED
 */
export function connectSeqpacket(path: string): Socket {
  const fd = libcCall('socket', undefined, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  try {
    connectPath(fd, path);
    return asSocket(fd);
  } finally {
    closeSync(fd);
  }
}

/** sun_path holds 107 bytes; a path through a descriptor always fits. */
function connectPath(fd: number, path: string): void {
  const directory = openSync(dirname(path), 'r');
  try {
    const address = unixAddress(`/proc/self/fd/${directory}/${basename(path)}`);
    libcCall('connect', path, fd, address, address.length);
  } finally {
    closeSync(directory);
  }
}

/**
 * Node.js looks at the kind of a descriptor once, when the socket is made, and only calls read, write and shutdown on
 * it afterwards: it is shown a stream socket, whose place the packet socket then takes. Nothing is read in between.
 */
function asSocket(fd: number): Socket {
  const placeholder = libcCall('socket', undefined, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const socket = new Socket({ fd: placeholder, readable: true, writable: true, allowHalfOpen: true });
  try {
    libcCall('dup3', undefined, fd, placeholder, SOCK_CLOEXEC);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}
