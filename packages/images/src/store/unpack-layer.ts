import { statSync } from 'node:fs';
import { ImageError } from '../errors.ts';
import type { Descriptor } from '../manifest.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';
import type { LayerRow } from './image-database.ts';
import type { StoreFiles } from './store-files.ts';

/** A layer to be had: what it is, and what is below it. */
export interface WantedLayer {
  descriptor: Descriptor;
  diffId: string;
  chainId: string;
  /** Nearest first. */
  lowerChainIds: string[];
  /** Settles when the layers below are there. */
  below: Promise<unknown>;
}

/** A layer on disk that is not on the books yet. */
export interface UnpackedLayer {
  row: LayerRow;
  /** Directories that the archive only implies: their times are those of the unpacking. */
  implicitDirs: string[];
}

/** A layer whose blob is here. */
export type LayerToUnpack = Omit<WantedLayer, 'descriptor'> & { digest: string };

/** Unpacks a blob into a new layer directory. When it fails, nothing of it stays. @throws ImageError */
export async function unpackLayer(
  { files, pool, log }: { files: StoreFiles; pool: WorkerPool; log: (text: string) => void },
  { digest, diffId, chainId, lowerChainIds, below }: LayerToUnpack,
  {
    layerDir,
    ...options
  }: {
    signal?: AbortSignal;
    onProgress?: (doneBytes: number) => void;
    /** Where a layer below is, once `below` has settled. */
    layerDir: (chainId: string) => string;
  },
): Promise<UnpackedLayer> {
  const number = files.makeLayerDir();
  const dir = files.layerDir(number);
  try {
    const path = files.blobPath(digest);
    const request = { job: 'unpack', path, dir, kind: 'layer' } as const;
    const unpacked = await pool.run(request, { ...options, bytes: statSync(path).size });
    if (unpacked.diffId !== diffId) {
      const text = `it unpacks to ${unpacked.diffId}, but the image config says ${diffId}`;
      throw new ImageError('digest-mismatch', `unpack layer ${digest}: ${text}`);
    }
    for (const warning of unpacked.warnings) log(`unpack layer ${digest}: ${warning}`);
    await below;
    const lowerDirs = lowerChainIds.map(layerDir);
    const { implicitDirs, whiteouts, diskBytes, inodes } = unpacked;
    if (implicitDirs.length + whiteouts.length > 0) {
      const settling = { job: 'settle', dir, lowerDirs, unsettled: { implicitDirs, whiteouts } } as const;
      await pool.run(settling, { bytes: 0 });
    }
    return { row: { chainId, number, diskBytes, inodes, blob: digest }, implicitDirs };
  } catch (error) {
    await files.discardLayer(number);
    throw error;
  }
}
