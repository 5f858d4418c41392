import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { listXattrs } from '@amphipod/linux';

export interface TreeComparison {
  /** What is as it should be. */
  expected: string;
  /** What is looked at. */
  found: string;
  /** Directories whose times do not count; paths as bytes (latin1), '' for the root. */
  ignoreTimes: string[];
}

/** More would not help anybody. */
const maxDifferences = 20;
const pieceBytes = 1024 * 1024;

/**
 * Differences of two trees, one line each: `usr/bin/x: content differs`. Compared are names, types, modes, owners, sizes,
 * times, device numbers, link targets, which names are one file, extended attributes and contents.
 */
export function compareTrees({ expected, found, ignoreTimes }: TreeComparison): string[] {
  const untimed = new Set(ignoreTimes);
  const differences: string[] = [];
  // The first name of each file with several, in both trees.
  const firstNames = { expected: new Map<bigint, string>(), found: new Map<bigint, string>() };
  const waiting = [''];
  while (waiting.length > 0 && differences.length < maxDifferences) {
    const path = waiting.pop()!;
    const [a, b] = [stat(expected, path), stat(found, path)];
    const tell = (text: string) =>
      differences.push(`${Buffer.from(path, 'latin1').toString('utf8') || '/'}: ${text}`);
    if (a === undefined) tell('is there, and should not be');
    else if (b === undefined) tell('is missing');
    else {
      const links = [firstName(firstNames.expected, a, path), firstName(firstNames.found, b, path)];
      const text =
        compareAttributes(a, b, untimed.has(path)) ??
        (links[0] === links[1] ? undefined : 'is not linked as it should be') ??
        compareXattrs(at(expected, path), at(found, path)) ??
        compareContents(a, at(expected, path), at(found, path));
      if (text !== undefined) tell(text);
      if (a.isDirectory() && b.isDirectory()) waiting.push(...children(expected, found, path));
    }
  }
  return differences;
}

function compareAttributes(a: BigIntStats, b: BigIntStats, isUntimed: boolean): string | undefined {
  const keys = ['mode', 'uid', 'gid', 'rdev', ...(a.isDirectory() ? [] : (['size'] as const))] as const;
  for (const key of keys) {
    const radix = key === 'mode' ? 8 : 10;
    if (a[key] !== b[key]) return `${key} is ${b[key].toString(radix)}, should be ${a[key].toString(radix)}`;
  }
  // Overlay's sign for a deleted name: its time is that of the unpacking.
  const isWhiteout = a.isCharacterDevice() && a.rdev === 0n;
  if (!isUntimed && !isWhiteout && a.mtimeNs !== b.mtimeNs) return 'modification time differs';
  return undefined;
}

function compareXattrs(a: string, b: string): string | undefined {
  const [left, right] = [a, b].map(
    (path) => new Map(listXattrs(path).map(({ name, value }) => [name, value])),
  );
  for (const name of new Set([...left!.keys(), ...right!.keys()])) {
    const value = left!.get(name);
    if (value === undefined || !right!.has(name) || Buffer.compare(value, right!.get(name)!) !== 0)
      return `attribute ${name} differs`;
  }
  return undefined;
}

function compareContents(stats: BigIntStats, a: string, b: string): string | undefined {
  if (stats.isSymbolicLink()) {
    const [left, right] = [a, b].map((path) => readlinkSync(bytes(path), 'latin1'));
    return left === right ? undefined : 'leads elsewhere';
  }
  if (!stats.isFile() || stats.size === 0n) return undefined;
  const [left, right] = [openSync(bytes(a), 'r'), openSync(bytes(b), 'r')];
  try {
    const pieces = [Buffer.alloc(pieceBytes), Buffer.alloc(pieceBytes)] as const;
    for (;;) {
      const sizes = [readSync(left, pieces[0]), readSync(right, pieces[1])] as const;
      if (!pieces[0].subarray(0, sizes[0]).equals(pieces[1].subarray(0, sizes[1]))) return 'content differs';
      if (sizes[0] === 0) return undefined;
    }
  } catch (error) {
    // A disk that cannot read it any more.
    return `cannot be read: ${(error as NodeJS.ErrnoException).code}`;
  } finally {
    closeSync(left);
    closeSync(right);
  }
}

function firstName(names: Map<bigint, string>, { nlink, ino, ...stats }: BigIntStats, path: string): string {
  if (nlink < 2n || (stats.mode & 0o170000n) === 0o040000n) return path;
  const first = names.get(ino) ?? path;
  names.set(ino, first);
  return first;
}

function children(expected: string, found: string, path: string): string[] {
  const list = (root: string) => readdirSync(bytes(at(root, path)), { encoding: 'latin1' });
  return [...new Set([...list(expected), ...list(found)])].map((name) =>
    path === '' ? name : `${path}/${name}`,
  );
}

function stat(root: string, path: string): BigIntStats | undefined {
  return lstatSync(bytes(at(root, path)), { bigint: true, throwIfNoEntry: false });
}

function at(root: string, path: string): string {
  const base = Buffer.from(root).toString('latin1');
  return path === '' ? base : `${base}/${path}`;
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
