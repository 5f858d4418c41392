import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
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

/** Reads a file through its decompressor, handing over one piece after the other. @throws ImageError truncated-archive, invalid-archive */
export async function readDecompressed(
  path: string,
  onChunk: (chunk: Buffer) => void,
  { signal, onRead }: { signal?: AbortSignal; onRead?: (bytes: number) => void } = {},
): Promise<void> {
  const compression = detectCompression(firstBytes(path));
  const source = createReadStream(path, { highWaterMark: chunkBytes });
  source.on('data', (chunk) => onRead?.(chunk.length));
  source.pause();
  const consume = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) onChunk(chunk);
  };
  const options = signal === undefined ? {} : { signal };
  try {
    const decompressor = makeDecompressor(compression);
    if (decompressor === undefined) await pipeline(source, consume, options);
    else if (compression === 'zstd') await pipeline(source, splitZstdFrames, decompressor, consume, options);
    else await pipeline(source, decompressor, consume, options);
  } catch (error) {
    signal?.throwIfAborted();
    throw readableError(error, compression);
  }
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

function firstBytes(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const start = Buffer.alloc(8);
    return start.subarray(0, readSync(fd, start, 0, start.length, 0));
  } finally {
    closeSync(fd);
  }
}

function unsupported(name: string): ImageError {
  return new ImageError(
    'unsupported-media-type',
    `decompress layer: ${name} is not a compression of image layers`,
  );
}
