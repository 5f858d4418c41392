import { ImageError } from '../errors.ts';
import type { ImageDetails, LayerDetails } from '../image.ts';
import { type Descriptor, type Manifest, parseConfig, parseManifest } from '../manifest.ts';
import type { ImageRow } from './image-database.ts';
import { chainIdsOf } from './install-image.ts';
import type { StoreContents } from './store-contents.ts';

/** What an image consists of, read from its blobs. @throws ImageError not-found, invalid-manifest */
export function describeImage(contents: StoreContents, row: ImageRow): ImageDetails {
  const { manifest, diffIds } = readImage(contents, row);
  const chainIds = chainIdsOf(diffIds);
  const layers = manifest.layers.map((descriptor, i): LayerDetails => {
    const layer = contents.inventory.layer(chainIds[i]!);
    const { digest, size, mediaType } = descriptor;
    return {
      digest,
      mediaType,
      sizeBytes: size,
      diffId: diffIds[i]!,
      chainId: chainIds[i]!,
      diskBytes: layer?.diskBytes ?? 0,
      inodes: layer?.inodes ?? 0,
    };
  });
  return {
    manifestDigest: row.manifest!,
    chainId: chainIds.at(-1) ?? '',
    imageSpec: JSON.parse(contents.files.readBlob(row.id).toString('utf8')),
    layers,
  };
}

/** Manifest and diff ids of an image in the store. @throws ImageError not-found */
export function readImage(
  contents: StoreContents,
  row: ImageRow,
): { manifest: Manifest; manifestBytes: Buffer; diffIds: string[] } {
  if (row.manifest === null) {
    const text = 'an earlier version of this program recorded it without its manifest: pull or load it again';
    throw new ImageError('not-found', `read image ${row.id}: ${text}`);
  }
  const manifestBytes = contents.files.readBlob(row.manifest);
  const manifest = parseManifest(manifestBytes);
  if (manifest.kind !== 'manifest')
    throw new ImageError('invalid-manifest', `read image ${row.id}: not a manifest`);
  const { diffIds } = parseConfig(contents.files.readBlob(row.id));
  if (diffIds.length !== manifest.layers.length) {
    const text = `${manifest.layers.length} layers, but ${diffIds.length} diff ids`;
    throw new ImageError('invalid-manifest', `read image ${row.id}: ${text}`);
  }
  return { manifest, manifestBytes, diffIds };
}

/** Where the content of each layer is: the blob of the manifest, or else the one that the layer was unpacked from. */
export function layerBlobs(
  contents: StoreContents,
  { manifest, diffIds }: ReturnType<typeof readImage>,
): Descriptor[] {
  const chainIds = chainIdsOf(diffIds);
  return manifest.layers.map((descriptor, i) => {
    if (contents.inventory.hasBlob(descriptor.digest)) return descriptor;
    const digest = contents.inventory.layer(chainIds[i]!)?.blob ?? '';
    if (!contents.inventory.hasBlob(digest)) {
      throw new ImageError('not-found', `read layer ${descriptor.digest}: its blob is not in the store`);
    }
    return { mediaType: '', digest, size: contents.inventory.blobSize(digest)! };
  });
}
