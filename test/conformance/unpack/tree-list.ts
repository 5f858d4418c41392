import { createHash } from 'node:crypto';
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { listXattrs } from '@amphipod/linux';

/** Younger than that: made by the test. */
const recentMs = 600_000;

/** What is to be the same for everybody about a file: path to a description of it. */
export type TreeList = Map<string, string>;

/**
 * Describes every file of a tree: kind, mode, owner, modification time in nanoseconds, size and digest of contents, target,
 * device number, extended attributes, and the first of the names that the file has. Paths are byte strings; '' is the root.
 */
export function listTree(root: string): TreeList {
  const sinceNs = BigInt(Date.now() - recentMs) * 1_000_000n;
  const list: TreeList = new Map();
  const firstNames = new Map<bigint, string>();
  const visit = (path: string) => {
    const full = path === '' ? root : `${root}/${path}`;
    const bytes = Buffer.from(full, 'latin1');
    const stats = lstatSync(bytes, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) {
      list.set(path, 'listed, but not there');
      return;
    }
    const names = stats.isDirectory() ? readdirSync(bytes, { encoding: 'latin1' }).sort() : [];
    list.set(path, [...describe(bytes, stats, sinceNs), ...linkOf(path, stats, firstNames)].join(' '));
    for (const name of names) visit(path === '' ? name : `${path}/${name}`);
  };
  visit('');
  return list;
}

function* describe(path: Buffer, stats: BigIntStats, sinceNs: bigint): Generator<string> {
  const { mode, uid, gid, mtimeNs, size, rdev } = stats;
  yield kindOf(stats);
  yield (mode & 0o7777n).toString(8);
  yield `${uid}:${gid}`;
  // Nobody said when: the time of unpacking.
  yield `mtime=${mtimeNs > sinceNs ? 'now' : mtimeNs}`;
  if (stats.isFile())
    yield `size=${size} sha256=${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  if (stats.isSymbolicLink()) yield `-> ${readlinkSync(path, 'latin1')}`;
  if (stats.isCharacterDevice() || stats.isBlockDevice()) yield `rdev=${rdev}`;
  const xattrs = listXattrs(path.toString('latin1'))
    .filter(({ name }) => name !== 'security.selinux' && !name.startsWith('trusted.overlay.'))
    .map(({ name, value }) => `${name}=${Buffer.from(value).toString('hex')}`);
  if (xattrs.length > 0) yield xattrs.sort().join(',');
}

function* linkOf(
  path: string,
  { ino, nlink }: BigIntStats,
  firstNames: Map<bigint, string>,
): Generator<string> {
  const first = firstNames.get(ino);
  if (nlink > 1n && first !== undefined) yield `same file as ${first}`;
  else firstNames.set(ino, path);
}

function kindOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  return stats.isCharacterDevice() ? 'char' : 'block';
}

/** Paths that are not the same in both, with what each says. */
export function differences(ours: TreeList, theirs: TreeList): Map<string, string> {
  const paths = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  return new Map(
    paths
      .filter((path) => ours.get(path) !== theirs.get(path))
      .map((path) => [path, `ours: ${ours.get(path) ?? 'none'}; theirs: ${theirs.get(path) ?? 'none'}`]),
  );
}
