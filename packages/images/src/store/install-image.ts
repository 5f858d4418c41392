import { sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import type { Image, LayerProgress, Platform } from '../image.ts';
import {
  checkPlatform,
  type Descriptor,
  type ImageConfig,
  type Manifest,
  maxManifestBytes,
  parseConfig,
} from '../manifest.ts';
import type { ImageDatabase } from './image-database.ts';
import type { ImageIndex } from './image-index.ts';
import type { BlobSource, StoreContents } from './store-contents.ts';

/** An image whose manifest is known, to be taken into a store. */
export interface ImageToInstall {
  /** For error messages. */
  what: string;
  manifest: Manifest;
  /** The manifests and indexes on the way to it, to be kept with it. */
  documents: Descriptor[];
  /** Layers as they come, where that is not as the manifest says: from another store, which has unpacked them. */
  layers?: Descriptor[];
  source: BlobSource;
  /** Canonical names to give. */
  tag?: string;
  digest?: string;
}

export interface InstallContext {
  contents: StoreContents;
  index: ImageIndex;
  db: ImageDatabase;
}

export interface InstallOptions {
  platform: Platform;
  signal?: AbortSignal;
  onProgress?: (progress: LayerProgress) => void;
}

/**
 * Fetches what is missing of an image, unpacks it, syncs it, and then records it. All or nothing.
 * @throws ImageError
 */
export async function installImage(
  store: InstallContext,
  image: ImageToInstall,
  { platform, signal, onProgress }: InstallOptions,
): Promise<Image> {
  const { contents, index } = store;
  const { manifest, source, documents, what } = image;
  const lease = contents.openLease();
  // When one layer fails, the others need not go on.
  const failure = new AbortController();
  const anySignal = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]);
  try {
    const comingLayers = image.layers ?? manifest.layers;
    const blobs = [...documents, manifest.config, ...comingLayers];
    for (const { digest } of blobs) lease.digests.add(digest);
    for (const small of [...documents, manifest.config]) {
      if (small.size > maxManifestBytes) throw invalid(what, `${small.digest} has ${small.size} bytes`);
      await contents.ensureBlob(small, source, { signal: anySignal });
    }
    const config = parseConfig(contents.files.readBlob(manifest.config.digest));
    checkPlatform(config, platform, what);
    if (config.diffIds.length !== manifest.layers.length) {
      throw invalid(what, `${manifest.layers.length} layers, but ${config.diffIds.length} diff ids`);
    }
    const chainIds = chainIdsOf(config.diffIds);
    for (const chainId of chainIds) lease.chainIds.add(chainId);
    contents.expectLayers(comingLayers.map(({ size }, i) => ({ chainId: chainIds[i]!, size })));
    let below: Promise<unknown> = Promise.resolve();
    const layers = comingLayers.map((descriptor, i) => {
      const wanted = {
        descriptor,
        diffId: config.diffIds[i]!,
        chainId: chainIds[i]!,
        lowerChainIds: chainIds.slice(0, i).reverse(),
        below,
      };
      const layer = contents.ensureLayer(wanted, source, {
        signal: anySignal,
        ...(onProgress && { onProgress }),
      });
      below = layer;
      return layer;
    });
    await settle(layers, failure);
    signal?.throwIfAborted();
    return await record(store, image, { config, chainIds, blobs: blobs.map(({ digest }) => digest) });
  } finally {
    contents.closeLease(lease);
    await contents.collect(index.rows());
  }
}

/** Syncs what is new, and only then writes it down. */
async function record(
  { contents, index, db }: InstallContext,
  { manifest, documents, tag, digest }: ImageToInstall,
  { config, chainIds, blobs }: { config: ImageConfig; chainIds: string[]; blobs: string[] },
): Promise<Image> {
  // A layer that was there already may have come as another blob.
  const present = blobs.filter((blob) => contents.inventory.hasBlob(blob));
  const rows = await contents.syncNew(present, chainIds);
  const added = index.add({
    image: {
      id: manifest.config.digest,
      config: JSON.stringify(config.config),
      annotations: JSON.stringify(manifest.annotations ?? {}),
      manifest: documents.at(-1)!.digest,
      sizeBytes: [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0),
      chainIds,
      blobs: present,
    },
    ...rows,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  });
  contents.inventory.setRecorded(rows);
  await db.flush();
  return added;
}

/** Waits for all, so that nothing runs on after a failure; then throws the first one. */
async function settle(layers: Promise<void>[], failure: AbortController): Promise<void> {
  let first: { error: unknown } | undefined;
  await Promise.all(
    layers.map((layer) =>
      layer.catch((error: unknown) => {
        first ??= { error };
        failure.abort(error);
      }),
    ),
  );
  if (first !== undefined) throw first.error;
}

/** Names of layer stacks (image-spec config.md, "Layer ChainID"). */
export function chainIdsOf(diffIds: readonly string[]): string[] {
  const chainIds: string[] = [];
  for (const diffId of diffIds) {
    const below = chainIds.at(-1);
    const text = `${below} ${diffId}`;
    chainIds.push(below === undefined ? diffId : sha256Digest(text));
  }
  return chainIds;
}

function invalid(what: string, cause: string): ImageError {
  return new ImageError('invalid-manifest', `install ${what}: ${cause}`);
}
