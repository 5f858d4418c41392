import { Buffer } from 'node:buffer';
import { ImageError } from '../errors.ts';
import { type PaxRecord, paxNumber, paxTimeNs } from './pax.ts';
import type { TarHeader } from './tar-header.ts';

/** A member of a tar archive, with its extension headers applied. Paths are byte strings: one character a byte. */
export interface TarEntry {
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';
  path: string;
  /** Target of a symlink or hard link; empty for others. */
  linkPath: string;
  mode: number;
  uid: number;
  gid: number;
  mtimeNs: bigint;
  /** Bytes of a file; with holes counted for a sparse one. */
  size: number;
  devMajor: number;
  devMinor: number;
  xattrs: { name: string; value: Buffer }[];
}

const types: Record<string, TarEntry['type']> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** What GNU long-name members and PAX headers said about the next member. */
export interface Extensions {
  longName?: string;
  longLink?: string;
  records: PaxRecord[];
}

const xattrPrefix = 'SCHILY.xattr.';
// (uid_t)-1 means "leave it" to chown(2).
const maxId = 0xfffffffe;
// include/linux/kdev_t.h: 12 bits and 20.
const maxMajor = 0xfff;
const maxMinor = 0xfffff;

/** Puts header and extensions together. @throws ImageError invalid-archive, naming the entry */
export function makeTarEntry(header: TarHeader, { longName, longLink, records }: Extensions): TarEntry {
  const pax = new Map(records);
  const value = (key: string) => (pax.get(key) === '' ? undefined : pax.get(key));
  const path = value('GNU.sparse.name') ?? value('path') ?? longName ?? header.name;
  const type = types[header.typeFlag];
  if (type === undefined) {
    throw invalid(path, `type ${JSON.stringify(header.typeFlag)} is not supported`);
  }
  const entry: TarEntry = {
    type,
    path,
    linkPath: value('linkpath') ?? longLink ?? header.linkName,
    mode: header.mode,
    uid: number('uid', value('uid')) ?? header.uid,
    gid: number('gid', value('gid')) ?? header.gid,
    mtimeNs: value('mtime') === undefined ? header.mtimeNs : paxTimeNs(value('mtime')!),
    size: type === 'file' ? (number('size', value('size')) ?? header.size) : 0,
    devMajor: header.devMajor,
    devMinor: header.devMinor,
    xattrs: [...pax]
      .filter(([key]) => key.startsWith(xattrPrefix))
      .map(([key, bytes]) => ({ name: key.slice(xattrPrefix.length), value: Buffer.from(bytes, 'latin1') })),
  };
  // Version 7 of UNIX had no type for directories.
  if (type === 'file' && entry.size === 0 && path.endsWith('/')) entry.type = 'directory';
  if (entry.path.includes('\0') || entry.linkPath.includes('\0'))
    throw invalid(path, 'a name has a NUL byte');
  if (entry.xattrs.some(({ name }) => name.includes('\0')))
    throw invalid(path, 'an attribute has a NUL byte');
  if (!isWithin(entry.uid, maxId) || !isWithin(entry.gid, maxId)) {
    throw invalid(path, `owner ${entry.uid}:${entry.gid} is out of range`);
  }
  const isDevice = type === 'char' || type === 'block';
  if (isDevice && !(isWithin(entry.devMajor, maxMajor) && isWithin(entry.devMinor, maxMinor))) {
    throw invalid(path, `device ${entry.devMajor}:${entry.devMinor} is out of range`);
  }
  return entry;
}

function isWithin(value: number, max: number): boolean {
  return value >= 0 && value <= max;
}

/** A byte string as people read it. */
export function displayPath(path: string): string {
  return JSON.stringify(Buffer.from(path, 'latin1').toString('utf8'));
}

function number(key: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : paxNumber(key, text);
}

function invalid(path: string, cause: string): ImageError {
  return new ImageError('invalid-archive', `read tar entry ${displayPath(path)}: ${cause}`);
}
