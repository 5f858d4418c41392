import { Buffer } from 'node:buffer';
import { ImageError } from '../errors.ts';
import { type PaxRecord, parsePax, paxNumber } from './pax.ts';
import {
  checkSegmentCount,
  checkSegments,
  gnuRealSize,
  parseGnuSparse,
  paxSegments,
  type Segment,
  SparseMapReader,
} from './sparse.ts';
import { displayPath, type Extensions, makeTarEntry, type TarEntry } from './tar-entry.ts';
import { blockSize, parseTarHeader, type TarHeader } from './tar-header.ts';

/** Told of members as they come. What it throws ends the reading. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** Contents of the last entry; `offset` is the place in the file (holes are left out). `bytes` is only valid during the call. */
  data(bytes: Buffer, offset: number): void;
  /** The last entry is complete. */
  entryEnd(): void;
}

/** Long names and PAX headers are held in memory. */
const maxMetaBytes = 1024 * 1024;
/** Global records are gone through for every member. */
const maxGlobalBytes = 16 * 1024;
const none: Extensions = { records: [] };

type State = 'header' | 'meta' | 'gnu-sparse' | 'pax-sparse-map' | 'data' | 'end';

/**
 * Reads a tar archive that is written into it piece by piece: ustar, PAX, GNU, star, with sparse files. Synchronous, so that a
 * reader costs no promise for a piece; memory is bounded whatever the input.
 */
export class TarReader {
  readonly #sink: TarSink;
  readonly #block = Buffer.alloc(blockSize);
  #blockFill = 0;
  #state: State = 'header';
  #sawZeroBlock = false;
  #typeFlag = '';
  #entry: TarEntry | undefined;
  #extensions: Extensions = none;
  #global: PaxRecord[] = [];
  #meta: Buffer[] = [];
  #metaTotal = 0;
  /** Bytes of the current member's data still to come, and the padding after them. */
  #left = 0;
  #padding = 0;
  #segments: Segment[] = [];
  #segment = 0;
  #inSegment = 0;
  #realSize = 0;
  #mapReader: SparseMapReader | undefined;
  #path = '';

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** @throws ImageError invalid-archive, and what the sink throws */
  write(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length && this.#state !== 'end') {
      if (this.#state === 'data' || this.#state === 'meta') offset += this.#takeData(chunk, offset);
      else offset += this.#takeBlock(chunk, offset);
    }
  }

  /** The archive is over. @throws ImageError truncated-archive */
  end(): void {
    // An archive may end without its two zero blocks, between members.
    if (
      this.#state === 'end' ||
      (this.#state === 'header' && this.#blockFill === 0 && this.#extensions === none)
    )
      return;
    const where = this.#path === '' ? 'in its first header' : `in or after entry ${displayPath(this.#path)}`;
    throw new ImageError('truncated-archive', `read tar archive: it ends ${where}`);
  }

  #takeBlock(chunk: Buffer, offset: number): number {
    if (this.#blockFill === 0 && chunk.length - offset >= blockSize) {
      this.#onBlock(chunk.subarray(offset, offset + blockSize));
      return blockSize;
    }
    const taken = chunk.copy(this.#block, this.#blockFill, offset);
    this.#blockFill += taken;
    if (this.#blockFill === blockSize) {
      this.#blockFill = 0;
      this.#onBlock(this.#block);
    }
    return taken;
  }

  #onBlock(block: Buffer): void {
    switch (this.#state) {
      case 'header':
        this.#onHeader(block);
        return;
      case 'gnu-sparse': {
        const { segments, more } = parseGnuSparse(block, 'extension');
        this.#segments.push(...segments);
        checkSegmentCount(this.#segments.length);
        if (!more) this.#startSparse(this.#segments, this.#realSize, this.#entry!.size);
        return;
      }
      case 'pax-sparse-map': {
        const segments = this.#mapReader!.add(block);
        if (segments !== undefined) {
          this.#startSparse(segments, this.#realSize, this.#entry!.size - this.#mapReader!.size);
        } else if (this.#mapReader!.size >= this.#entry!.size) {
          throw this.#invalid('the sparse map does not end');
        }
        return;
      }
      case 'data':
      case 'meta':
      case 'end':
        throw new Error(`tar reader: a block in state ${this.#state}`);
    }
  }

  #onHeader(block: Buffer): void {
    if (isZero(block)) {
      if (this.#sawZeroBlock) this.#state = 'end';
      this.#sawZeroBlock = true;
      return;
    }
    // A single zero block is what careless writers leave; Go's reader takes the archive for invalid, and so do we.
    if (this.#sawZeroBlock) throw this.#invalid('a zero block in the middle');
    const header = parseTarHeader(block);
    this.#typeFlag = header.typeFlag;
    switch (header.typeFlag) {
      case 'x':
      case 'g':
      case 'L':
      case 'K':
        if (header.size > maxMetaBytes) throw this.#invalid(`an extension header of ${header.size} bytes`);
        this.#metaTotal = header.size;
        this.#startData(header.size, 'meta');
        return;
      default:
        this.#startMember(header, block);
    }
  }

  #startMember(header: TarHeader, block: Buffer): void {
    const records = [...this.#global, ...this.#extensions.records];
    const entry = makeTarEntry(header, { ...this.#extensions, records });
    this.#entry = entry;
    this.#path = entry.path;
    this.#extensions = none;
    if (header.typeFlag === 'S') {
      const { segments, more } = parseGnuSparse(block, 'header');
      this.#segments = segments;
      this.#realSize = gnuRealSize(block);
      if (more) this.#state = 'gnu-sparse';
      else this.#startSparse(segments, this.#realSize, entry.size);
      return;
    }
    const pax = new Map(records);
    if (pax.get('GNU.sparse.major') === '1' && pax.get('GNU.sparse.minor') === '0') {
      this.#realSize = paxNumber('GNU.sparse.realsize', pax.get('GNU.sparse.realsize') ?? '');
      this.#mapReader = new SparseMapReader();
      this.#state = 'pax-sparse-map';
      if (entry.size < blockSize) throw this.#invalid('a sparse file without a map');
      return;
    }
    const segments = paxSegments(records);
    if (segments === undefined) {
      this.#emit([{ offset: 0, length: entry.size }], entry.size);
    } else {
      const realSize = paxNumber('GNU.sparse.size', pax.get('GNU.sparse.size') ?? '');
      this.#startSparse(segments, realSize, entry.size);
    }
  }

  #startSparse(segments: Segment[], realSize: number, dataSize: number): void {
    checkSegments(segments, realSize, dataSize);
    this.#entry!.size = realSize;
    this.#emit(segments, dataSize);
  }

  #emit(segments: Segment[], dataSize: number): void {
    this.#segments = segments;
    this.#segment = 0;
    this.#inSegment = 0;
    this.#mapReader = undefined;
    this.#sink.entry(this.#entry!);
    this.#startData(dataSize, 'data');
  }

  #startData(size: number, state: 'data' | 'meta'): void {
    this.#state = state;
    this.#left = size;
    this.#padding = (blockSize - (size % blockSize)) % blockSize;
    if (size === 0) this.#endData();
  }

  #takeData(chunk: Buffer, offset: number): number {
    if (this.#left === 0) {
      const skipped = Math.min(this.#padding, chunk.length - offset);
      this.#padding -= skipped;
      if (this.#padding === 0) this.#state = 'header';
      return skipped;
    }
    const bytes = chunk.subarray(offset, offset + Math.min(this.#left, chunk.length - offset));
    if (this.#state === 'meta') this.#meta.push(Buffer.from(bytes));
    else this.#emitData(bytes);
    this.#left -= bytes.length;
    if (this.#left === 0) this.#endData();
    return bytes.length;
  }

  #emitData(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; ) {
      const segment = this.#segments[this.#segment]!;
      const length = Math.min(segment.length - this.#inSegment, bytes.length - done);
      if (length > 0) this.#sink.data(bytes.subarray(done, done + length), segment.offset + this.#inSegment);
      done += length;
      this.#inSegment += length;
      if (this.#inSegment === segment.length) {
        this.#segment += 1;
        this.#inSegment = 0;
      }
    }
  }

  #endData(): void {
    if (this.#state === 'meta') this.#endMeta();
    else this.#sink.entryEnd();
    if (this.#padding === 0) this.#state = 'header';
  }

  #endMeta(): void {
    const bytes = Buffer.concat(this.#meta, this.#metaTotal);
    this.#meta = [];
    const nul = bytes.indexOf(0);
    const text = bytes.toString('latin1', 0, nul < 0 ? bytes.length : nul);
    switch (this.#typeFlag) {
      case 'x':
        this.#extensions = { ...this.#extensions, records: parsePax(bytes) };
        break;
      case 'g':
        this.#global = [...new Map([...this.#global, ...parsePax(bytes)])];
        if (sizeOf(this.#global) > maxGlobalBytes) throw this.#invalid('too many global records');
        break;
      case 'L':
        this.#extensions = { ...this.#extensions, longName: text };
        break;
      default:
        this.#extensions = { ...this.#extensions, longLink: text };
    }
  }

  #invalid(cause: string): ImageError {
    const where = this.#path === '' ? 'at the start' : `at or after entry ${displayPath(this.#path)}`;
    return new ImageError('invalid-archive', `read tar archive ${where}: ${cause}`);
  }
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < blockSize; i++) if (block[i] !== 0) return false;
  return true;
}

function sizeOf(records: readonly PaxRecord[]): number {
  return records.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
}
