import { cInt, libcTry } from './libc.ts';
import { SOL_SOCKET } from './socket-constants.ts';

// include/uapi/asm-generic/socket.h
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;

/**
 * Room for outgoing messages in bytes, beyond net.core.wmem_max where the process may (CAP_NET_ADMIN). A netlink datagram
 * must fit as a whole, otherwise send(2) gives EMSGSIZE.
 */
export function setSendBuffer(socketFd: number, bytes: number): void {
  const value = cInt(bytes);
  if (libcTry('setsockopt', socketFd, SOL_SOCKET, SO_SNDBUFFORCE, value, 4) < 0) {
    libcTry('setsockopt', socketFd, SOL_SOCKET, SO_SNDBUF, value, 4);
  }
}
