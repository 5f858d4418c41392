import { withChecksum } from './tar-blocks.ts';

/** One member of a layer. Paths are relative to the image's root; times are seconds since 1970, default 0. */
export interface Entry {
  path: string;
  type?: 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';
  /** Contents of a file. */
  data?: Uint8Array | string;
  /** Target of a symlink or hard link. */
  linkPath?: string;
  /** Permission bits with setuid, setgid and sticky. Default 0755 for directories, else 0644. */
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  devMajor?: number;
  devMinor?: number;
  /** Extended attributes by full name; written as `SCHILY.xattr.*` records. */
  xattrs?: Record<string, Uint8Array | string>;
  /** More PAX records, as they are. */
  pax?: Record<string, string>;
}

const typeFlags = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};
const blockSize = 512;

/** A tar archive (POSIX.1-2001: ustar with PAX records where a field does not fit). */
export function writeTar(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry) => [...tarMember(entry)]);
  return Buffer.concat([...parts, tarEnd]);
}

/** What ends an archive. */
export const tarEnd = Buffer.alloc(2 * blockSize);

/** The blocks before the contents of a file of `size` bytes, for contents that come in pieces. */
export function tarFileHeader(path: string, size: number): Generator<Buffer> {
  return headers({ path }, path, size);
}

/** What fills the last block of a file. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((blockSize - (size % blockSize)) % blockSize);
}

/** The blocks of one member: PAX records if it needs any, header, contents. */
export function* tarMember(entry: Entry): Generator<Buffer> {
  const type = entry.type ?? 'file';
  const data = type === 'file' ? Buffer.from(entry.data ?? '') : Buffer.alloc(0);
  const path = type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path;
  yield* headers(entry, path, data.length);
  if (data.length > 0) yield padded(data);
}

function* headers(entry: Entry, path: string, size: number): Generator<Buffer> {
  const records = paxRecords(entry, path, size);
  if (records.length > 0) {
    yield header({ ...entry, path: `PaxHeaders/${truncate(path, 80)}`, mode: 0o644 }, 'x', records.length);
    yield padded(records);
  }
  yield header({ ...entry, path }, typeFlags[entry.type ?? 'file'], size);
}

function paxRecords(entry: Entry, path: string, size: number): Buffer {
  const records: [string, Uint8Array | string][] = [];
  if (!fits(path, 100)) records.push(['path', path]);
  if (entry.linkPath !== undefined && !fits(entry.linkPath, 100)) records.push(['linkpath', entry.linkPath]);
  if (size > 0o77777777777) records.push(['size', String(size)]);
  if ((entry.uid ?? 0) > 0o7777777) records.push(['uid', String(entry.uid)]);
  if ((entry.gid ?? 0) > 0o7777777) records.push(['gid', String(entry.gid)]);
  const mtime = entry.mtime ?? 0;
  if (mtime < 0 || !Number.isInteger(mtime)) records.push(['mtime', String(mtime)]);
  for (const [name, value] of Object.entries(entry.xattrs ?? {}))
    records.push([`SCHILY.xattr.${name}`, value]);
  records.push(...Object.entries(entry.pax ?? {}));
  return Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: Uint8Array | string): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value as string), Buffer.from('\n')]);
  let length = body.length;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function header(entry: Entry, typeFlag: string, size: number): Buffer {
  const block = Buffer.alloc(blockSize);
  const mode = entry.mode ?? (typeFlag === '5' ? 0o755 : 0o644);
  block.write(truncate(entry.path, 100), 0);
  octal(block, 100, 8, mode);
  octal(block, 108, 8, clamp(entry.uid ?? 0, 0o7777777));
  octal(block, 116, 8, clamp(entry.gid ?? 0, 0o7777777));
  octal(block, 124, 12, clamp(size, 0o77777777777));
  octal(block, 136, 12, clamp(Math.floor(entry.mtime ?? 0), 0o77777777777));
  block.write(typeFlag, 156);
  if (typeFlag === '1' || typeFlag === '2') block.write(truncate(entry.linkPath ?? '', 100), 157);
  block.write('ustar\x0000', 257, 'latin1');
  octal(block, 329, 8, entry.devMajor ?? 0);
  octal(block, 337, 8, entry.devMinor ?? 0);
  return withChecksum(block);
}

function octal(block: Buffer, offset: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1');
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(value, 0), max);
}

function fits(text: string, bytes: number): boolean {
  return Buffer.byteLength(text) <= bytes && !/[^\x20-\x7e]/.test(text);
}

function truncate(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(0, bytes)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '_');
}

function padded(data: Buffer): Buffer {
  const rest = data.length % blockSize;
  return rest === 0 ? data : Buffer.concat([data, Buffer.alloc(blockSize - rest)]);
}
