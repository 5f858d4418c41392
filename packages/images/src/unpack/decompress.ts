import { closeSync, openSync, readSync } from 'node:fs';
import type { Transform } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGunzip, createZstdDecompress, constants as zlib } from 'node:zlib';
import { isCode } from '@amphipod/linux';
import { ImageError } from '../errors.ts';
import { splitZstdFrames } from './zstd-frames.ts';

/** How a layer is compressed, whatever its media type says: known by its first bytes (field case IMG-15). */
export type Compression = 'none' | 'gzip' | 'zstd';

const chunkBytes = 256 * 1024;

/** @throws ImageError unsupported-media-type for xz and bzip2 */
export function detectCompression(start: Buffer): Compression {
  if (start.length >= 2 && start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
  const magic = start.length >= 4 ? start.readUInt32LE(0) : 0;
  // RFC 8878: a frame, or a skippable frame that may come before one.
  if (magic === 0xfd2fb528 || magic >>> 4 === 0x184d2a5) return 'zstd';
  if (start.toString('latin1', 0, 6) === '\xfd7zXZ\0') throw unsupported('xz');
  if (/^BZh[1-9]/.test(start.toString('latin1', 0, 4))) throw unsupported('bzip2');
  return 'none';
}

/** Reads a file through its decompressor, handing over one piece after the other, each valid during the call only. @throws ImageError truncated-archive, invalid-archive */
export async function readDecompressed(
  path: string,
  onChunk: (chunk: Buffer) => void,
  { signal, onRead }: { signal?: AbortSignal; onRead?: (bytes: number) => void } = {},
): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    const compression = detectCompression(firstBytes(fd));
    const decompressor = makeDecompressor(compression);
    const take = (chunk: Buffer) => {
      signal?.throwIfAborted();
      onChunk(chunk);
    };
    const pieces = readPieces(fd, onRead);
    if (decompressor === undefined) {
      for (const piece of pieces) {
        take(piece);
        // So that an order to stop can come in.
        await nextTurn();
      }
    } else {
      const input = compression === 'zstd' ? splitZstdFrames(pieces) : pieces;
      await decompress(decompressor, input, take).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw readableError(error, compression);
      });
    }
  } finally {
    closeSync(fd);
  }
}

/** The file from its start, in one buffer that is filled again for each piece. */
function* readPieces(fd: number, onRead: (bytes: number) => void = () => {}): Generator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  for (let offset = 0; ; ) {
    const bytes = readSync(fd, buffer, 0, buffer.length, offset);
    if (bytes === 0) return;
    offset += bytes;
    onRead(bytes);
    yield buffer.subarray(0, bytes);
  }
}

/** What comes out is handled here while the thread pool decompresses what follows. */
async function decompress(
  decompressor: Transform,
  input: Iterator<Buffer>,
  take: (chunk: Buffer) => void,
): Promise<void> {
  // Of interest to whoever waits for output; nobody does once a piece was refused.
  decompressor.on('error', () => {});
  const feed = async () => {
    while (!decompressor.destroyed) {
      const next = input.next();
      if (next.done) {
        decompressor.end();
        return;
      }
      await new Promise<void>((resolve, reject) => {
        decompressor.write(next.value, (error) => (error == null ? resolve() : reject(error)));
      });
    }
  };
  void feed().catch((error: Error) => decompressor.destroy(error));
  for await (const chunk of decompressor as AsyncIterable<Buffer>) {
    take(chunk);
    release(chunk);
  }
}

/**
 * Gives memory back at once. Left to the garbage collector, a gigabyte of pieces outside its heap makes it run in full
 * again and again, which took a tenth of the time of a pull. zlib goes on with a piece's buffer unless it ends with the piece.
 */
function release({ buffer, byteOffset, byteLength }: Buffer): void {
  if (byteOffset + byteLength === buffer.byteLength) (buffer as ArrayBuffer).transfer(0);
}

function makeDecompressor(compression: Compression): Transform | undefined {
  // Room for pieces that are decompressed in the thread pool while earlier ones are being written.
  const options = { chunkSize: chunkBytes, highWaterMark: 4 * chunkBytes };
  switch (compression) {
    case 'gzip':
      return createGunzip(options);
    case 'zstd':
      // As far back as `zstd --long=27`, 128 MiB; more would let an image decide over our memory.
      return createZstdDecompress({ ...options, params: { [zlib.ZSTD_d_windowLogMax]: 27 } });
    case 'none':
      return undefined;
  }
}

function readableError(error: unknown, compression: Compression): unknown {
  if (error instanceof ImageError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') {
    return new ImageError('truncated-archive', `decompress ${compression} stream: it ends too early`, {
      cause: error,
    });
  }
  const isData =
    isCode(error, 'Z_DATA_ERROR') ||
    code?.startsWith('ZSTD_error') === true ||
    code === 'ERR_ZLIB_INITIALIZATION_FAILED';
  return isData
    ? new ImageError('invalid-archive', `decompress ${compression} stream: ${message}`, { cause: error })
    : error;
}

function firstBytes(fd: number): Buffer {
  const start = Buffer.alloc(8);
  return start.subarray(0, readSync(fd, start, 0, start.length, 0));
}

function unsupported(name: string): ImageError {
  return new ImageError(
    'unsupported-media-type',
    `decompress layer: ${name} is not a compression of image layers`,
  );
}
