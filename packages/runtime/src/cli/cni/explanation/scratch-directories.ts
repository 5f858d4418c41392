import { closeSync, cpSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '@amphipod/cni';
import { isCode, MS, mount, mountInfo } from '@amphipod/linux';

/** Below it everything of the trial lies, on a file system of its own. */
export const scratchDir = '/run/amphipod-explain';
const DEFAULT_RESERVATIONS = '/var/lib/cni/networks';
/** Settings and devices are written to, not changed. */
const keptOpen = ['/proc', '/sys', '/dev'];

/**
 * Makes all that is mounted read-only and gives /run and /sys anew, in the mount namespace of this process, which must be
 * its own. Afterwards no plugin can change a file of the machine. @throws SyscallError
 */
export function protectMachine(): void {
  for (const { mountPoint } of mountInfo()) {
    if (keptOpen.some((dir) => mountPoint === dir || mountPoint.startsWith(`${dir}/`))) continue;
    mount(mountPoint, { flags: MS.REMOUNT | MS.BIND | MS.RDONLY });
  }
  mount('/run', { type: 'tmpfs', flags: MS.NOSUID | MS.NODEV, data: 'mode=755' });
  // Shows the links of the namespace that it is mounted in.
  mount('/sys', { type: 'sysfs', flags: MS.NOSUID | MS.NODEV | MS.NOEXEC });
  mkdirSync(scratchDir, { recursive: true });
}

/** A directory of state and the copy that the trial works on. */
export interface ScratchCopy {
  original: string;
  copy: string;
  /** Of the original, which may lie where the scratch /run will hide it; undefined when there is none. */
  fd: number | undefined;
}

/** Points every `dataDir` of a list to a copy, and host-local's default one too. The copies are empty until {@link fillCopies}. */
export function redirectState(list: JsonObject): { list: JsonObject; copies: ScratchCopy[] } {
  const copies: ScratchCopy[] = [{ original: '/run/cni', copy: '/run/cni', fd: openDir('/run/cni') }];
  const copyOf = (original: string): string => {
    const known = copies.find((each) => each.original === original);
    if (known !== undefined) return known.copy;
    const copy = join(scratchDir, 'state', String(copies.length));
    copies.push({ original, copy, fd: openDir(original) });
    return copy;
  };
  const redirect = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(redirect);
    if (!isJsonObject(value)) return value;
    const changed: JsonObject = {};
    for (const [key, item] of Object.entries(value)) changed[key] = redirect(item);
    if (typeof changed.dataDir === 'string') changed.dataDir = copyOf(changed.dataDir);
    else if (changed.type === 'host-local' && changed.plugins === undefined)
      changed.dataDir = copyOf(DEFAULT_RESERVATIONS);
    return changed;
  };
  return { list: redirect(list) as JsonObject, copies };
}

/** To be called behind {@link protectMachine}. */
export function fillCopies(copies: readonly ScratchCopy[]): void {
  for (const { copy, fd } of copies) {
    mkdirSync(copy, { recursive: true });
    if (fd === undefined) continue;
    cpSync(`/proc/self/fd/${fd}/`, copy, {
      recursive: true,
      preserveTimestamps: true,
      // A daemon's socket is not for the trial.
      filter: (source) => !statSync(source).isSocket(),
    });
    closeSync(fd);
  }
}

function openDir(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
