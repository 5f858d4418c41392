import { Socket } from 'node:net';
import { libcCall } from './libc.ts';
import { inNetns } from './namespaces.ts';
import { SOCK_CLOEXEC, SOCK_STREAM } from './socket-constants.ts';

// include/linux/socket.h
const families = { 4: 2, 6: 10 } as const;

/**
 * An unconnected TCP socket of a network namespace (undefined: this one); `connect()` it from anywhere, to a numeric
 * address of this family. Half-open connections stay.
 * @throws SyscallError EAFNOSUPPORT when the kernel has no such family
 */
export function tcpSocketIn(netns: string | undefined, family: 4 | 6): Socket {
  const open = () => libcCall('socket', undefined, families[family], SOCK_STREAM | SOCK_CLOEXEC, 0);
  const fd = netns === undefined ? open() : inNetns(netns, open);
  // manualStart, which the types lack: reading from a socket that is not connected yet is an error.
  const options = { fd, allowHalfOpen: true, manualStart: true };
  return new Socket(options);
}
