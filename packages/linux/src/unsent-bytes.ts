import type { Socket } from 'node:net';
import { libcTry } from './libc.ts';
import { socketFd } from './socket-fd.ts';

// include/uapi/linux/sockios.h
const SIOCOUTQ = 0x5411;

/** Bytes that a TCP connection has given to the kernel and that its other side has not acknowledged; 0 without a descriptor. */
export function unsentBytes(socket: Socket): number {
  const fd = socketFd(socket);
  const count = Buffer.alloc(4);
  return fd < 0 || libcTry('ioctlPointer', fd, SIOCOUTQ, count) < 0 ? 0 : count.readInt32LE(0);
}
