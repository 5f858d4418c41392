import { createHash } from 'node:crypto';
import { TarReader } from '../tar/tar-reader.ts';
import { readDecompressed } from './decompress.ts';
import type { Unsettled } from './settle-layer.ts';
import { type TreeKind, TreeWriter } from './tree-writer.ts';

export interface UnpackRequest {
  /** The archive, compressed or not. */
  path: string;
  /** An empty directory of ours. */
  dir: string;
  kind: TreeKind;
}

export interface UnpackResult extends Unsettled {
  /** sha256 of the archive without compression, `sha256:…`. */
  diffId: string;
  diskBytes: number;
  inodes: number;
  warnings: string[];
}

export interface UnpackOptions {
  signal?: AbortSignal;
  /** Bytes of the (compressed) archive read so far. */
  onProgress?: (doneBytes: number) => void;
}

const maxWarnings = 20;

/** Unpacks a tar archive into a directory. Blocks its thread for a piece at a time: for a worker. @throws ImageError */
export async function unpackTar(
  { path, dir, kind }: UnpackRequest,
  { signal, onProgress }: UnpackOptions = {},
): Promise<UnpackResult> {
  const warnings: string[] = [];
  using tree = new TreeWriter(dir, kind, (text) => {
    if (warnings.length < maxWarnings) warnings.push(text);
  });
  const reader = new TarReader(tree);
  const hash = createHash('sha256');
  let readBytes = 0;
  await readDecompressed(
    path,
    (chunk) => {
      hash.update(chunk);
      reader.write(chunk);
    },
    {
      ...(signal && { signal }),
      onRead: (bytes) => {
        readBytes += bytes;
        onProgress?.(readBytes);
      },
    },
  );
  reader.end();
  return { ...tree.finish(), diffId: `sha256:${hash.digest('hex')}`, warnings };
}
