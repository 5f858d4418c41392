import { closeSync, readFileSync } from 'node:fs';
import { isCode, SyscallError } from './errors.ts';
import { cInt, libcCall, libcTry } from './libc.ts';
import { SOL_SOCKET } from './socket-constants.ts';

// include/uapi/asm-generic/socket.h
const SO_PEERCRED = 17;
const SO_PEERPIDFD = 77;
const ENOPROTOOPT = 92;

/** The process that connected a Unix socket, as it was at that moment (unix(7), SO_PEERCRED). */
export interface SocketPeer {
  uid: number;
  /** 0: a process that this PID namespace does not show. */
  pid: number;
}

/**
 * Looks at the process at the other end of a connected Unix socket, in /proc say. The answer is undefined when the process
 * has ended meanwhile, so it is never that of another one with the same number; kernels before 6.5 cannot tell and trust the number.
 * @param socketFd the accepted socket @throws SyscallError
 */
export function lookAtSocketPeer<T>(socketFd: number, look: (peer: SocketPeer) => T): T | undefined {
  let pidfd: number | undefined;
  try {
    const peer = readPeer(socketFd);
    pidfd = peerPidfd(socketFd);
    const answer = look(peer);
    return pidfd === undefined || pidOf(pidfd) === peer.pid ? answer : undefined;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH', 'ENODATA', 'EINVAL')) return undefined;
    throw error;
  } finally {
    if (pidfd !== undefined) closeSync(pidfd);
  }
}

function readPeer(socketFd: number): SocketPeer {
  const credentials = Buffer.alloc(12);
  libcCall('getsockopt', undefined, socketFd, SOL_SOCKET, SO_PEERCRED, credentials, cInt(credentials.length));
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4) };
}

function peerPidfd(socketFd: number): number | undefined {
  const pidfd = Buffer.alloc(4);
  const result = libcTry('getsockopt', socketFd, SOL_SOCKET, SO_PEERPIDFD, pidfd, cInt(pidfd.length));
  if (result >= 0) return pidfd.readInt32LE(0);
  if (result === -ENOPROTOOPT) return undefined;
  throw new SyscallError('getsockopt', -result);
}

/** -1 once the process has ended. */
function pidOf(pidfd: number): number {
  return Number(/^Pid:\s+(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1'))?.[1]);
}
