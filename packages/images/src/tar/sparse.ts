import { ImageError } from '../errors.ts';
import { type PaxRecord, paxNumber } from './pax.ts';
import { blockSize, tarSize } from './tar-header.ts';

/** A piece of a sparse file that has data; the rest are holes. */
export interface Segment {
  offset: number;
  length: number;
}

/** A map is held in memory. */
const maxSegments = 200_000;

/** Segments in an old-GNU header (at 386, 4 of them) or an extension block (at 0, 21 of them), and whether more follow. */
export function parseGnuSparse(block: Buffer, kind: 'header' | 'extension') {
  const [start, count, moreAt] = kind === 'header' ? [386, 4, 482] : [0, 21, 504];
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = start + i * 24;
    if (block[at] === 0) break;
    segments.push({
      offset: tarSize(block, at, 12, 'sparse offset'),
      length: tarSize(block, at + 12, 12, 'sparse length'),
    });
  }
  return { segments, more: block[moreAt] !== 0 };
}

/** Real size of the file in an old-GNU sparse header. */
export function gnuRealSize(block: Buffer): number {
  return tarSize(block, 483, 12, 'real size');
}

/** Segments from PAX records: version 0.0 (pairs of records) or 0.1 (`GNU.sparse.map`); undefined when there are none. */
export function paxSegments(records: readonly PaxRecord[]): Segment[] | undefined {
  const map = records.findLast(([key]) => key === 'GNU.sparse.map');
  const numbers =
    map === undefined
      ? records
          .filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
          .map(([, value]) => value)
      : map[1].split(',').filter((text) => text !== '');
  const isSparse = map !== undefined || records.some(([key]) => key === 'GNU.sparse.numblocks');
  return isSparse ? pairs(numbers) : undefined;
}

/** Collects the map that stands before the data in version 1.0: decimal lines, filled up to a block. */
export class SparseMapReader {
  #text = '';
  #blocks = 0;
  #newlines = 0;
  #count = 0;

  /** Takes one block; gives the segments once the map is complete. */
  add(block: Buffer): Segment[] | undefined {
    const text = block.toString('latin1', 0, blockSize);
    if (this.#blocks === 0) {
      const firstLine = text.indexOf('\n');
      if (firstLine < 0) throw invalid('the map has no count');
      this.#count = paxNumber('sparse map count', text.slice(0, firstLine));
      checkSegmentCount(this.#count);
    }
    this.#blocks += 1;
    if (this.#blocks * blockSize > maxSegments * 32) throw invalid('the map is too long');
    this.#text += text;
    for (const byte of block) if (byte === 0x0a) this.#newlines += 1;
    if (this.#newlines < 2 * this.#count + 1) return undefined;
    return pairs(this.#text.split('\n', 2 * this.#count + 1).slice(1));
  }

  /** Bytes of the entry's data that the map has taken so far. */
  get size(): number {
    return this.#blocks * blockSize;
  }
}

/** For a map that comes in pieces. @throws ImageError invalid-archive */
export function checkSegmentCount(count: number): void {
  if (count > maxSegments) throw invalid(`the map has more than ${maxSegments} pieces`);
}

/** Checks that segments are in order, within the file, and as long together as the data. @throws ImageError invalid-archive */
export function checkSegments(segments: readonly Segment[], realSize: number, dataSize: number): void {
  let end = 0;
  let sum = 0;
  checkSegmentCount(segments.length);
  for (const { offset, length } of segments) {
    if (offset < end || offset + length > realSize) throw invalid('the map leaves the file or overlaps');
    end = offset + length;
    sum += length;
  }
  if (sum !== dataSize) throw invalid('the map does not fit the data');
}

function pairs(numbers: readonly string[]): Segment[] {
  if (numbers.length % 2 !== 0) throw invalid('the map has an odd number of values');
  const segments: Segment[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    segments.push({
      offset: paxNumber('sparse offset', numbers[i]!),
      length: paxNumber('sparse length', numbers[i + 1]!),
    });
  }
  return segments;
}

function invalid(cause: string): ImageError {
  return new ImageError('invalid-archive', `read sparse file: ${cause}`);
}
