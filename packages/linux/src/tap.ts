import { closeSync, openSync } from 'node:fs';
import { libcCall } from './libc.ts';

// include/uapi/linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_TUN_EXCL = 0x8000;
const IFNAMSIZ = 16;
/** struct ifreq: the name, then a union of which only the flags are used here. */
const IFREQ_BYTES = 40;
const device = '/dev/net/tun';

export interface TapOptions {
  /** Several queues, each opened by a descriptor of its own. */
  multiQueue?: boolean;
  /** Numeric user and group that may open it, beside CAP_NET_ADMIN; anybody may when neither is given. */
  owner?: number;
  group?: number;
}

/**
 * `ip tuntap add mode tap name NAME [user …] [group …] [multi_queue]`: a tap device in the network namespace of the thread,
 * which stays until it is deleted. Synchronous, so that it can be called in a hop.
 * @throws SyscallError EBUSY (the name is taken), ENOENT or ENODEV (no /dev/net/tun), EPERM
 */
export function tapCreate(name: string, { multiQueue = false, owner, group }: TapOptions = {}): void {
  if (Buffer.byteLength(name) >= IFNAMSIZ || name === '') {
    throw new RangeError(`create tap ${JSON.stringify(name)}: a name has 1 to ${IFNAMSIZ - 1} bytes`);
  }
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name);
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (multiQueue ? IFF_MULTI_QUEUE : 0), IFNAMSIZ);
  const fd = openSync(device, 'r+');
  try {
    libcCall('ioctlPointer', name, fd, TUNSETIFF, request);
    if (owner !== undefined) libcCall('ioctlNumber', name, fd, TUNSETOWNER, owner);
    if (group !== undefined) libcCall('ioctlNumber', name, fd, TUNSETGROUP, group);
    // Last, because until then closing the descriptor takes the device away.
    libcCall('ioctlNumber', name, fd, TUNSETPERSIST, 1);
  } finally {
    closeSync(fd);
  }
}
