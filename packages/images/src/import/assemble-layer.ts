import { createHash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readSync, writeSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { openBeneath, openRootDir, SyscallError } from '@amphipod/linux';
import { ImageError } from '../errors.ts';

export interface LayerParts {
  /** What containers/storage noted when it unpacked the layer: tar-split's lines of JSON, through gzip. */
  tarSplit: string;
  /** The unpacked layer, which has the contents of its files. */
  tree: string;
  /** The archive to write; must not exist. */
  path: string;
}

/** One line of tar-split: bytes of the archive as they were, or a file whose contents are in the tree. */
interface TarSplitEntry {
  type: 1 | 2;
  name?: string;
  name_raw?: string;
  size?: number;
  payload?: string;
}

const fileType = 1;
const segmentType = 2;
const pieceBytes = 1024 * 1024;

/** Puts a layer's archive together again, byte for byte. Blocks its thread for a piece at a time: for a worker. */
export async function assembleLayer(
  { tarSplit, tree, path }: LayerParts,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (doneBytes: number) => void } = {},
): Promise<{ digest: string; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  const rootFd = openRootDir(tree);
  if (rootFd < 0) throw new SyscallError('open', -rootFd, tree);
  const out = openSync(path, 'wx', 0o600);
  const write = (bytes: Buffer) => {
    hash.update(bytes);
    for (let done = 0; done < bytes.length; ) done += writeSync(out, bytes, done);
    size += bytes.length;
    onProgress?.(size);
  };
  try {
    await pipeline(createReadStream(tarSplit), createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const line of lines(chunks)) {
        signal?.throwIfAborted();
        const entry = parseEntry(line, tarSplit);
        if (entry.type === segmentType) write(Buffer.from(entry.payload ?? '', 'base64'));
        else if (entry.type === fileType && (entry.size ?? 0) > 0) copyFile(rootFd, entry, write);
      }
    });
  } finally {
    closeSync(out);
    closeSync(rootFd);
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

function copyFile(rootFd: number, entry: TarSplitEntry, write: (bytes: Buffer) => void): void {
  // Names need not be UTF-8; then they stand there in base64.
  const bytes =
    entry.name_raw === undefined ? Buffer.from(entry.name ?? '') : Buffer.from(entry.name_raw, 'base64');
  const name = bytes.toString('latin1').replace(/^\/+/, '');
  const fd = openBeneath(rootFd, name);
  if (fd < 0) throw new SyscallError('open', -fd, bytes.toString('utf8'));
  try {
    for (let left = entry.size!; left > 0; ) {
      const piece = Buffer.alloc(Math.min(left, pieceBytes));
      const read = readSync(fd, piece);
      if (read === 0) {
        const text = `${left} of ${entry.size} bytes are missing`;
        throw new ImageError(
          'digest-mismatch',
          `read layer file ${JSON.stringify(bytes.toString('utf8'))}: ${text}`,
        );
      }
      write(piece.subarray(0, read));
      left -= read;
    }
  } finally {
    closeSync(fd);
  }
}

async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + chunk.toString('latin1')).split('\n');
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== '') yield rest;
}

function parseEntry(line: string, file: string): TarSplitEntry {
  try {
    return JSON.parse(Buffer.from(line, 'latin1').toString('utf8')) as TarSplitEntry;
  } catch (cause) {
    throw new ImageError('invalid-manifest', `read ${JSON.stringify(file)}: not tar-split's lines`, {
      cause,
    });
  }
}
