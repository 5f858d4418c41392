import { readFileSync } from 'node:fs';
import { ImageError } from '../errors.ts';

// Reads the key-value files of bbolt (go.etcd.io/bbolt), which containerd keeps its names in. Little endian throughout:
//
// page:    id u64, flags u16, count u16, overflow u32; then `count` elements
// leaf:    flags u32 (1: a bucket), pos u32, key size u32, value size u32; pos counts from the element
// branch:  pos u32, key size u32, page u64
// bucket:  root page u64, sequence u64; with root 0 a leaf page follows in place
// meta:    magic u32, version u32, page size u32, flags u32, root bucket, free list u64, pages u64, transaction u64, FNV-1a u64
//
// Pages 0 and 1 are metas; the valid one with the higher transaction counts.

const magic = 0xed0cdaed;
const version = 2;
const branchFlag = 1;
const leafFlag = 2;
const bucketFlag = 1;
const pageHeaderBytes = 16;
const elementBytes = 16;
const bucketHeaderBytes = 16;
/** A writer that changes the file under our hands is waited out so often. */
const maxTries = 20;

/** Keys in their order, with values or buckets. */
export interface BoltBucket {
  values: Map<string, Buffer>;
  buckets: Map<string, BoltBucket>;
}

interface Meta {
  pageSize: number;
  root: number;
  transaction: bigint;
}

/**
 * The whole of a file, read without its lock while its owner may run: a transaction never writes to pages that the last one
 * uses, so a copy is sound when no transaction has ended while it was made.
 * @throws ImageError invalid-manifest for a file of another kind; Node.js' errors
 */
export function readBoltFile(path: string): BoltBucket {
  for (let tries = 0; tries < maxTries; tries++) {
    const bytes = readFileSync(path);
    const meta = newestMeta(bytes);
    if (meta !== undefined && newestMeta(readFileSync(path))?.transaction === meta.transaction) {
      return parse(path, bytes, meta);
    }
  }
  throw new ImageError(
    'invalid-manifest',
    `read ${JSON.stringify(path)}: not a bolt database, or it never rests`,
  );
}

function parse(path: string, bytes: Buffer, meta: Meta): BoltBucket {
  try {
    const pages = { bytes, pageSize: meta.pageSize, left: Math.ceil(bytes.length / meta.pageSize) };
    return readBucket(pages, meta.root);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ImageError('invalid-manifest', `read ${JSON.stringify(path)}: a page of it makes no sense`, {
      cause,
    });
  }
}

function newestMeta(bytes: Buffer): Meta | undefined {
  // The page size stands in the metas themselves: the second one is looked for where it can be.
  const places = [0, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
  const metas = places
    .map((place) => metaAt(bytes, place + pageHeaderBytes))
    .filter((meta) => meta !== undefined);
  return metas.sort((a, b) => (a.transaction < b.transaction ? 1 : -1))[0];
}

function metaAt(bytes: Buffer, at: number): Meta | undefined {
  if (bytes.length < at + 64 || bytes.readUInt32LE(at) !== magic || bytes.readUInt32LE(at + 4) !== version)
    return undefined;
  if (bytes.readBigUInt64LE(at + 56) !== fnv1a(bytes.subarray(at, at + 56))) return undefined;
  return {
    pageSize: bytes.readUInt32LE(at + 8),
    root: Number(bytes.readBigUInt64LE(at + 16)),
    transaction: bytes.readBigUInt64LE(at + 48),
  };
}

function fnv1a(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

interface Pages {
  bytes: Buffer;
  pageSize: number;
  /** Pages that may still be read: a file whose pages point in a circle is not followed for ever. */
  left: number;
}

function readBucket(pages: Pages, root: number): BoltBucket {
  const bucket: BoltBucket = { values: new Map(), buckets: new Map() };
  addPage(pages, pages.bytes.subarray(root * pages.pageSize), bucket);
  return bucket;
}

function addPage(pages: Pages, page: Buffer, bucket: BoltBucket): void {
  if (pages.left-- <= 0) throw new RangeError('more pages than the file has');
  const [flags, count] = [page.readUInt16LE(8), page.readUInt16LE(10)];
  for (let i = 0; i < count; i++) {
    const element = pageHeaderBytes + i * elementBytes;
    if ((flags & branchFlag) !== 0) {
      const child = Number(page.readBigUInt64LE(element + 8));
      addPage(pages, pages.bytes.subarray(child * pages.pageSize), bucket);
    } else if ((flags & leafFlag) !== 0) addElement(pages, page, { element, bucket });
    else throw new RangeError(`a page with flags ${flags}`);
  }
}

function addElement(
  pages: Pages,
  page: Buffer,
  { element, bucket }: { element: number; bucket: BoltBucket },
): void {
  const start = element + page.readUInt32LE(element + 4);
  const keyEnd = start + page.readUInt32LE(element + 8);
  const end = keyEnd + page.readUInt32LE(element + 12);
  if (end > page.length) throw new RangeError('an element beyond the end');
  const key = page.toString('utf8', start, keyEnd);
  const value = page.subarray(keyEnd, end);
  if ((page.readUInt32LE(element) & bucketFlag) === 0) {
    bucket.values.set(key, value);
    return;
  }
  const root = Number(value.readBigUInt64LE(0));
  if (root !== 0) {
    bucket.buckets.set(key, readBucket(pages, root));
    return;
  }
  const inline: BoltBucket = { values: new Map(), buckets: new Map() };
  // It takes no page of its own.
  pages.left += 1;
  addPage(pages, value.subarray(bucketHeaderBytes), inline);
  bucket.buckets.set(key, inline);
}
