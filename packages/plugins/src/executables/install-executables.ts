import { lstatSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CniError } from '@amphipod/cni';
import { type ExecutableIdentity, readIdentity, writeIdentity } from './identity.ts';
import type { Installation } from './installation.ts';
import { readLauncher } from './launcher.ts';
import { writeExecutable } from './write-executable.ts';

export interface InstallOptions {
  installation: Installation;
  /** The plugins; default of the command: all of this package. */
  types: readonly string[];
  socket: string;
  /** Replaces files that are not of this project. */
  force?: boolean;
}

/** What was found at, or done to, a file. */
export type InstalledState = 'installed' | 'replaced' | 'unchanged';

/** What is in a directory of plugins under the name of one of ours. */
export interface FoundExecutable {
  type: string;
  path: string;
  /** `current`: as this installation would write it; `other`: of another version, place or socket; `foreign`: not of this project. */
  state: 'missing' | 'current' | 'other' | 'foreign';
  identity?: ExecutableIdentity;
}

/** Looks at a directory without changing it. */
export function findExecutables(dir: string, options: Omit<InstallOptions, 'force'>): FoundExecutable[] {
  return findAll(dir, options, readLauncher());
}

/**
 * Puts executables into a directory of plugins, each file whole. All or nothing as to foreign files: when there is one
 * and no `force`, nothing is written. @throws CniError io-failure naming the files
 */
export function installExecutables(
  dir: string,
  options: InstallOptions,
): { type: string; path: string; state: InstalledState }[] {
  const launcher = readLauncher();
  const found = findAll(dir, options, launcher);
  const foreign = found.filter(({ state }) => state === 'foreign').map(({ path }) => path);
  if (foreign.length > 0 && !options.force) {
    throw new CniError(
      'io-failure',
      `install plugins in ${dir}: not of this project and left alone: ${foreign.join(' ')}`,
    );
  }
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  return found.map(({ type, path, state }) => {
    if (state === 'current') return { type, path, state: 'unchanged' };
    writeExecutable(path, writeIdentity(launcher, wantedIdentity(type, options)));
    return { type, path, state: state === 'missing' ? 'installed' : 'replaced' };
  });
}

function wantedIdentity(type: string, { installation, socket }: InstallOptions): ExecutableIdentity {
  return { name: type, version: installation.version, socket, root: installation.root };
}

function findAll(dir: string, options: InstallOptions, launcher: Buffer): FoundExecutable[] {
  return options.types.map((type) => {
    const wanted = writeIdentity(launcher, wantedIdentity(type, options));
    return { type, path: join(dir, type), ...lookAt(join(dir, type), wanted) };
  });
}

function lookAt(path: string, wanted: Buffer): Pick<FoundExecutable, 'state' | 'identity'> {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry === undefined) return { state: 'missing' };
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile()) return { state: 'foreign' };
  const bytes = readFileSync(path);
  const identity = readIdentity(bytes);
  if (identity === undefined) return { state: 'foreign' };
  // A link, to our own directory say, becomes a file: the link breaks when that directory moves.
  const isCurrent = entry.isFile() && bytes.equals(wanted) && (stats.mode & 0o111) === 0o111;
  return { state: isCurrent ? 'current' : 'other', identity };
}
