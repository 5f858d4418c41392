import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { libcCall } from './libc.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

// include/linux/net.h
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/**
 * Connects to a Unix socket of packets (SOCK_SEQPACKET), which Node.js does not know. In flowing mode each 'data' is
 * one packet. Each write is one packet too if the one before it has been called back.
 * @throws SyscallError ENOENT, ECONNREFUSED
 */
export function connectSeqpacket(path: string): Socket {
  const directory = openSync(dirname(path), 'r');
  const fd = libcCall('socket', undefined, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  try {
    // sun_path holds 107 bytes; a path through a descriptor always fits.
    const address = unixAddress(`/proc/self/fd/${directory}/${basename(path)}`);
    libcCall('connect', path, fd, address, address.length);
    return asSocket(fd);
  } finally {
    closeSync(fd);
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
