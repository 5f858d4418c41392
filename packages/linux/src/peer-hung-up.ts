import type { Socket } from 'node:net';
import { libcTry } from './libc.ts';
import { socketFd } from './socket-fd.ts';

// include/uapi/asm-generic/poll.h
const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLRDHUP = 0x2000;

/**
 * True when the other side of a connection has closed or reset it, also while nobody reads from it, which is when
 * Node.js does not notice. False for a socket that has no descriptor (any more).
 */
export function peerHungUp(socket: Socket): boolean {
  const fd = socketFd(socket);
  if (fd < 0) return false;
  const pollfd = Buffer.alloc(8);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(POLLRDHUP, 4);
  if (libcTry('poll', pollfd, 1, 0) <= 0) return false;
  return (pollfd.readInt16LE(6) & (POLLERR | POLLHUP | POLLRDHUP)) !== 0;
}
