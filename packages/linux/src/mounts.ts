import { readFileSync } from 'node:fs';
import { SyscallError } from './errors.ts';
import { libcAsync, libcCall, libcTry } from './libc.ts';

// include/uapi/linux/mount.h
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  BIND: 4096,
  REC: 16384,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
} as const;
const MNT_DETACH = 2;
const EINVAL = 22;
const ENOENT = 2;

export interface MountOptions {
  source?: string;
  /** File system type; absent for bind mounts and changes of propagation. */
  type?: string;
  /** Or of {@link MS}. */
  flags?: number;
  /** File system options, as after `mount -o`. */
  data?: string;
}

/** `mount -t TYPE -o DATA SOURCE TARGET`. @throws SyscallError */
export function mount(target: string, { source, type, flags = 0, data }: MountOptions): void {
  // A NUL-ended buffer of our own: koffi passes null for `void *` data that is absent.
  const bytes = data === undefined ? null : Buffer.from(`${data}\0`);
  libcCall('mount', target, source ?? type ?? 'none', target, type ?? null, flags, bytes);
}

/**
 * `umount -l TARGET`, all layers of mounts on it. Not a mount point and no such path are fine.
 * Lazy, so that a container that captured the mount cannot keep it busy (field case CNI-18).
 */
export function unmount(target: string): void {
  for (;;) {
    const result = libcTry('umount2', target, MNT_DETACH);
    if (result === -EINVAL || result === -ENOENT) return;
    if (result < 0) throw new SyscallError('umount2', -result, target);
  }
}

/** {@link unmount} in the thread pool, for file systems whose unmount may take long. */
export async function unmountAsync(target: string): Promise<void> {
  while ((await libcAsync('umount2', target, MNT_DETACH)) === 0);
  unmount(target);
}

export interface MountInfo {
  mountId: number;
  parentId: number;
  /** Path within the file system that forms the root of this mount. */
  root: string;
  mountPoint: string;
  fsType: string;
  source: string;
  options: string[];
  superOptions: string[];
  /** `shared:N`, `master:N`, … */
  propagation: string[];
}

/** /proc/self/mountinfo, parsed (proc_pid_mountinfo(5)). */
export function mountInfo(text = readFileSync('/proc/self/mountinfo', 'utf8')): MountInfo[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const dash = fields.indexOf('-', 6);
      return {
        mountId: Number(fields[0]),
        parentId: Number(fields[1]),
        root: unescapeOctal(fields[3]!),
        mountPoint: unescapeOctal(fields[4]!),
        options: fields[5]!.split(','),
        propagation: fields.slice(6, dash),
        fsType: fields[dash + 1]!,
        source: unescapeOctal(fields[dash + 2] ?? ''),
        superOptions: (fields[dash + 3] ?? '').split(','),
      };
    });
}

function unescapeOctal(text: string): string {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const raw = bytes.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
  return Buffer.from(raw, 'latin1').toString('utf8');
}
