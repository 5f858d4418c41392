const zstdMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a5;
const dictionaryIdBytes = [0, 1, 2, 4];
const contentSizeBytes = [0, 2, 4, 8];

type Stage = 'magic' | 'skippable-size' | 'descriptor' | 'block' | 'skip' | 'unknown';

/**
 * Cuts a zstd stream (RFC 8878) so that no piece spans two frames, and leaves out skippable frames. node:zlib drops
 * what follows the end of a frame in the same piece, and layers with many frames are common (zstd:chunked, pzstd).
 */
export class ZstdFrameSplitter {
  #stage: Stage = 'magic';
  /** What to do when `#skip` bytes have gone by. */
  #afterSkip: Stage = 'magic';
  #skip = 0;
  #isDropped = false;
  #hasChecksum = false;
  #isLastBlock = false;
  readonly #field = Buffer.alloc(4);
  #fieldFill = 0;
  /** First bytes of a frame whose kind was not known when their chunk ended. */
  #held: Buffer = Buffer.alloc(0);

  /** @returns pieces of single frames */
  split(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let from = 0;
    let at = 0;
    const emit = (to: number) => {
      const piece = chunk.subarray(from, to);
      if (!this.#isDropped && piece.length + this.#held.length > 0) {
        pieces.push(this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]));
        this.#held = Buffer.alloc(0);
      }
      from = to;
    };
    while (at < chunk.length) {
      if (this.#stage === 'unknown') at = chunk.length;
      else if (this.#stage === 'skip') {
        const passed = Math.min(this.#skip, chunk.length - at);
        at += passed;
        this.#skip -= passed;
      } else if (!this.#gather(chunk[at++]!)) continue;
      if (this.#stage === 'skip' && this.#skip === 0 && this.#nextAfterSkip()) {
        emit(at);
        this.#isDropped = false;
      }
    }
    if (this.#stage === 'magic' || this.#stage === 'skippable-size') {
      if (!this.#isDropped) this.#held = Buffer.concat([this.#held, chunk.subarray(from)]);
    } else emit(chunk.length);
    return pieces;
  }

  /** What is left when the stream ends within a frame's first bytes. */
  rest(): Buffer {
    return this.#held;
  }

  /** Takes one byte of a field. @returns true when it was the last one, and the stage has changed */
  #gather(byte: number): boolean {
    this.#field[this.#fieldFill++] = byte;
    const size = this.#stage === 'descriptor' ? 1 : this.#stage === 'block' ? 3 : 4;
    if (this.#fieldFill < size) return false;
    this.#fieldFill = 0;
    if (this.#stage === 'magic') this.#onMagic(this.#field.readUInt32LE(0));
    else if (this.#stage === 'descriptor') this.#onDescriptor(byte);
    else if (this.#stage === 'block') this.#onBlock(this.#field.readUIntLE(0, 3));
    else this.#skipThen(this.#field.readUInt32LE(0), 'magic');
    return true;
  }

  #onMagic(magic: number): void {
    if (magic === zstdMagic) this.#stage = 'descriptor';
    else if (magic >>> 4 === skippableMagic) {
      this.#stage = 'skippable-size';
      this.#isDropped = true;
      this.#held = Buffer.alloc(0);
    } else this.#stage = 'unknown';
  }

  #onDescriptor(descriptor: number): void {
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >>> 6;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    const windowBytes = isSingleSegment ? 0 : 1;
    const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : contentSizeBytes[sizeFlag]!;
    this.#skipThen(windowBytes + dictionaryIdBytes[descriptor & 3]! + sizeBytes, 'block');
  }

  #onBlock(header: number): void {
    this.#isLastBlock = (header & 1) !== 0;
    const isRunLength = ((header >>> 1) & 3) === 1;
    const contentBytes = isRunLength ? 1 : header >>> 3;
    if (!this.#isLastBlock) this.#skipThen(contentBytes, 'block');
    else this.#skipThen(contentBytes + (this.#hasChecksum ? 4 : 0), 'magic');
  }

  #skipThen(bytes: number, next: Stage): void {
    this.#skip = bytes;
    this.#afterSkip = next;
    this.#stage = 'skip';
  }

  /** @returns true at the end of a frame */
  #nextAfterSkip(): boolean {
    this.#stage = this.#afterSkip;
    return this.#stage === 'magic';
  }
}

/** The frames of a stream that comes in pieces. A piece that it holds back is a copy. */
export function* splitZstdFrames(chunks: Iterable<Buffer>): Generator<Buffer> {
  const splitter = new ZstdFrameSplitter();
  for (const chunk of chunks) yield* splitter.split(chunk);
  yield splitter.rest();
}
