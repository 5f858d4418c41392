import { closeSync, openSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { isCode } from './errors.ts';
import { libcCall, libcTry } from './libc.ts';

/** Namespaces that a thread of Node.js can enter and leave; mount and user namespaces cannot be (setns gives EINVAL). */
export type NamespaceKind = 'net' | 'ipc' | 'uts';

// include/uapi/linux/sched.h
const cloneFlags: Record<NamespaceKind, number> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 };
const MS_BIND = 4096;
const MNT_DETACH = 2;

/** A function that must not be async: what it starts would run after the hop, in the wrong namespace. */
export type SyncFunction<T> = () => T extends PromiseLike<unknown> ? never : T;

const home = new Map<NamespaceKind, number>();

/** The descriptor of the namespace that this thread was born in; opened once, kept for the hop back. */
function homeFd(kind: NamespaceKind): number {
  let fd = home.get(kind);
  if (fd === undefined) {
    fd = openSync(`/proc/thread-self/ns/${kind}`, 'r');
    home.set(kind, fd);
  }
  return fd;
}

function hopBack(kinds: Iterable<NamespaceKind>): void {
  for (const kind of kinds) {
    // A daemon in the wrong namespace must not live: everything it would do next hits the wrong pod.
    if (libcTry('setns', homeFd(kind), cloneFlags[kind]) < 0) process.abort();
  }
}

/**
 * Runs `fn` in the network namespace of `netns` (an open descriptor or a path) and comes back, as `ip netns exec` does
 * for a process. Descriptors opened inside (sockets, /proc/sys files) stay in that namespace.
 * @throws SyscallError ENOENT, EINVAL (not a namespace), EPERM
 */
export function inNetns<T>(netns: number | string, fn: SyncFunction<T>): T {
  const fd = typeof netns === 'string' ? openSync(netns, 'r') : netns;
  try {
    homeFd('net');
    libcCall('setns', typeof netns === 'string' ? netns : `fd ${fd}`, fd, cloneFlags.net);
    try {
      return fn() as T;
    } finally {
      hopBack(['net']);
    }
  } finally {
    if (typeof netns === 'string') closeSync(fd);
  }
}

/**
 * Runs `fn` in the namespaces that these files are of, and comes back; for namespaces of {@link createPinnedNamespaces} or of
 * `createPinnedUserNamespace`.
 * @throws SyscallError
 */
export function inNamespaces<T>(pins: NamespacePins, fn: SyncFunction<T>): T {
  const kinds = Object.keys(pins) as NamespaceKind[];
  for (const kind of kinds) homeFd(kind);
  const entered: NamespaceKind[] = [];
  try {
    for (const kind of kinds) {
      const fd = openSync(pins[kind]!, 'r');
      try {
        libcCall('setns', pins[kind]!, fd, cloneFlags[kind]);
      } finally {
        closeSync(fd);
      }
      entered.push(kind);
    }
    return fn() as T;
  } finally {
    hopBack(entered);
  }
}

/** Where each new namespace is to be pinned: absolute paths of files that must not exist yet. */
export type NamespacePins = Partial<Record<NamespaceKind, string>>;

/**
 * Makes new namespaces and pins each as a bind mount on a file (`ip netns add` for net); runs `setup` inside them.
 * All or nothing: after a failure no pin is left.
 * @throws SyscallError; EEXIST when a pin file exists
 */
export function createPinnedNamespaces<T>(pins: NamespacePins, setup?: SyncFunction<T>): T | undefined {
  const kinds = Object.keys(pins) as NamespaceKind[];
  const made: string[] = [];
  for (const kind of kinds) homeFd(kind);
  try {
    for (const kind of kinds) {
      writeFileSync(pins[kind]!, '', { flag: 'wx', mode: 0o444 });
      made.push(pins[kind]!);
    }
    libcCall(
      'unshare',
      undefined,
      kinds.reduce((flags, kind) => flags | cloneFlags[kind], 0),
    );
    try {
      for (const kind of kinds) {
        libcCall('mount', pins[kind]!, `/proc/thread-self/ns/${kind}`, pins[kind]!, null, MS_BIND, null);
      }
      return setup === undefined ? undefined : (setup() as T);
    } finally {
      hopBack(kinds);
    }
  } catch (error) {
    for (const pin of made) unpinNamespace(pin);
    throw error;
  }
}

/**
 * Removes a pin (`ip netns del`). The namespace itself goes when its last process, socket and mount are gone.
 * A missing pin, a plain file left by somebody's unmount and a busy mount are all fine (field case CNI-18).
 */
export function unpinNamespace(pin: string): void {
  while (libcTry('umount2', pin, MNT_DETACH) === 0);
  try {
    unlinkSync(pin);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTDIR')) throw error;
  }
}

/** True when `path` is a namespace file (on nsfs) and not a leftover plain file. */
export function isNamespace(path: string): boolean {
  try {
    const { dev } = statSync(path);
    return dev === statSync('/proc/thread-self/ns/net').dev;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Device and inode of a namespace file; equal for two paths of one namespace. */
export function namespaceId(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}

/** `hostname NAME` in the thread's UTS namespace; for use in the setup of {@link createPinnedNamespaces}. At most 64 bytes. */
export function setHostname(name: string): void {
  libcCall('sethostname', undefined, name, Buffer.byteLength(name));
}

/** Network namespaces of all threads of this process; more than one value means that a hop leaked. For tests and health checks. */
export function threadNetnsIds(readTasks: () => string[], read = namespaceId): Set<string> {
  return new Set(readTasks().map((tid) => read(`/proc/self/task/${tid}/ns/net`)));
}

/** Contents of /proc/sys/KEY in the thread's namespaces; dots or slashes separate. Trailing newline removed. */
export function sysctlGet(key: string): string {
  return readFileSync(sysctlPath(key), 'utf8').trimEnd();
}

/** `sysctl -w KEY=VALUE` in the thread's namespaces: wrap in {@link inNetns} for a pod's `net.*`. */
export function sysctlSet(key: string, value: string): void {
  writeFileSync(sysctlPath(key), value);
}

/** `net.ipv4.conf.eth0/1.mtu` style keys: with a slash anywhere first, slashes separate and dots are literal (sysctl(8)). */
export function sysctlPath(key: string): string {
  const firstDot = key.indexOf('.');
  const firstSlash = key.indexOf('/');
  const slashed = firstSlash >= 0 && (firstDot < 0 || firstSlash < firstDot);
  const parts = slashed ? key.split('/') : key.split('.').map((part) => part.replaceAll('/', '.'));
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new RangeError(`sysctl key ${JSON.stringify(key)}: not a key`);
  }
  return `/proc/sys/${parts.join('/')}`;
}
