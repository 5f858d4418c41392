import { isCode, sysctlGet, sysctlSet } from '@amphipod/linux';

/** Sets a kernel setting of the thread's namespace, unless it has the value already. */
export function ensureSysctl(key: string, value: string): void {
  if (sysctlGet(key) !== value) sysctlSet(key, value);
}

/** For settings that are welcome but not there on every machine, IPv6's above all. */
export function trySysctl(key: string, value: string): void {
  try {
    sysctlSet(key, value);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EACCES', 'EROFS', 'EPERM', 'EINVAL')) throw error;
  }
}
