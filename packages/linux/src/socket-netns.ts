import { closeSync } from 'node:fs';
import { libcCall } from './libc.ts';
import { inNetns, type SyncFunction } from './namespaces.ts';

// include/uapi/linux/sockios.h; arch tables of ioctl(2)
const SIOCGSKNS = 0x894c;
const SYS_ioctl = process.arch === 'x64' ? 16 : 29;

/**
 * Runs `fn` in the network namespace that a socket was opened in, wherever its opener stands now: so a connection can
 * open another socket beside itself without keeping a namespace descriptor. Needs CAP_NET_ADMIN over that namespace.
 */
export function inNetnsOfSocket<T>(socketFd: number, fn: SyncFunction<T>): T {
  const netns = libcCall('syscall3', `socket ${socketFd}`, SYS_ioctl, socketFd, SIOCGSKNS, 0);
  try {
    return inNetns(netns, fn);
  } finally {
    closeSync(netns);
  }
}
