import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path/posix';
import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import type { Pod } from '../lib/host.ts';
import type { TuningConfig } from './config.ts';

export interface Sysctl {
  path: string;
  value: string;
}

/**
 * The files of sysctls: dots and slashes both separate, and the first `IFNAME` is the interface's name, dots and all.
 * @throws CniError invalid-network-config for keys that are not of the network
 */
export function sysctlFiles(sysctls: TuningConfig['sysctls'], ifName: string): Sysctl[] {
  return sysctls.map(([key, value]) => {
    // A function, as `$` in a text would have a meaning.
    const name = key.replaceAll('.', '/').replace('IFNAME', () => ifName);
    const path = join('/proc/sys', name);
    if (name.includes('\0') || !path.startsWith('/proc/sys/net/')) {
      throw new CniError('invalid-network-config', `invalid net sysctl key: ${JSON.stringify(name)}`);
    }
    return { path, value };
  });
}

/** Sets them in the pod; undoing gives each the value that it had. @throws CniError naming key and value */
export function setSysctls(pod: Pod, undo: UndoStack, sysctls: readonly Sysctl[]): void {
  if (sysctls.length === 0) return;
  const olds: Sysctl[] = [];
  undo.defer('restore sysctls', () =>
    pod.run<void>(() => {
      for (const { path, value } of olds.reverse()) writeFileSync(path, value);
    }),
  );
  pod.run<void>(() => {
    for (const { path, value } of sysctls) {
      const old = readIfReadable(path);
      if (old !== undefined) olds.push({ path, value: old });
      try {
        writeFileSync(path, value);
      } catch (cause) {
        // What was not written needs no undo.
        if (old !== undefined) olds.pop();
        throw sysctlFailure('set', path, cause, value);
      }
    }
  });
}

/** Some can only be written (`net.ipv4.route.flush`): there is nothing to go back to. */
function readIfReadable(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'EACCES', 'EPERM')) return undefined;
    throw sysctlFailure('read', path, error);
  }
}

/** What they are now, in the order given. @throws CniError naming the key */
export function readSysctls(pod: Pod, sysctls: readonly Sysctl[]): string[] {
  return pod.run<string[]>(() =>
    sysctls.map(({ path }) => {
      try {
        return readFileSync(path, 'utf8').replace(/\n$/, '');
      } catch (error) {
        throw sysctlFailure('read', path, error);
      }
    }),
  );
}

function sysctlFailure(verb: string, path: string, cause: unknown, value?: string): CniError {
  const to = value === undefined ? '' : ` to ${JSON.stringify(value)}`;
  return new CniError('internal', `${verb} sysctl ${path}${to}: ${(cause as Error).message}`, { cause });
}
