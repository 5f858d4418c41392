import { createHash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { blobPath, sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import type { SaveOptions } from '../image.ts';
import type { Descriptor } from '../manifest.ts';
import { mediaTypes } from '../media-types.ts';
import { layerBlobs, readImage } from '../store/describe-image.ts';
import type { ImageRow } from '../store/image-database.ts';
import type { ImageIndex } from '../store/image-index.ts';
import type { StoreContents } from '../store/store-contents.ts';
import { tarEnd, tarFileHeader, tarPadding } from '../tar-writer.ts';
import { detectCompression } from '../unpack/decompress.ts';

/** A file of an archive: made here, or a blob of the store. */
interface Member {
  path: string;
  content: Buffer | Descriptor;
}

/** An image as it goes out: its manifest names blobs that are here. */
interface Outgoing {
  /** Tags, or the text that was asked for where it has none. */
  names: string[];
  manifest: Descriptor & { bytes: Buffer };
  config: Descriptor;
  layers: Descriptor[];
}

const chunkBytes = 1024 * 1024;

/** Writes images as one tar archive, piece by piece. @throws ImageError */
export async function* saveImages(
  { contents, index }: { contents: StoreContents; index: ImageIndex },
  references: readonly string[],
  { format = 'oci-archive', signal }: SaveOptions,
): AsyncGenerator<Buffer, void> {
  // Whatever is removed in the meantime stays until the archive is written.
  const lease = contents.openLease();
  try {
    const images = chosen(index, references).map(({ row, names }) => outgoing(contents, row, names));
    for (const { manifest, config, layers } of images) {
      for (const { digest } of [manifest, config, ...layers]) lease.digests.add(digest);
    }
    const members = format === 'oci-archive' ? ociMembers(images) : dockerMembers(images);
    for (const { path, content } of members) {
      signal?.throwIfAborted();
      const isMade = Buffer.isBuffer(content);
      const size = isMade ? content.length : content.size;
      yield* tarFileHeader(path, size);
      yield* isMade ? [content] : readBlob(contents, content, signal);
      yield tarPadding(size);
    }
    yield tarEnd;
  } finally {
    contents.closeLease(lease);
    await contents.collect(index.rows());
  }
}

/** Each image once, with the names to give it: one asked for by a tag goes under that tag only. */
function chosen(index: ImageIndex, references: readonly string[]): { row: ImageRow; names: string[] }[] {
  const images = new Map<string, { row: ImageRow; names: string[] }>();
  for (const reference of references) {
    const image = index.find(reference);
    if (image === undefined) {
      throw new ImageError('not-found', `save image ${JSON.stringify(reference)}: no such image`);
    }
    const row = index.row(image.id)!;
    const tag = index.tagOf(reference);
    const entry = images.get(row.id) ?? { row, names: [] };
    for (const name of tag === undefined ? row.tags : [tag])
      if (!entry.names.includes(name)) entry.names.push(name);
    images.set(row.id, entry);
  }
  return [...images.values()];
}

function outgoing(contents: StoreContents, row: ImageRow, names: string[]): Outgoing {
  const image = readImage(contents, row);
  const { manifest, manifestBytes } = image;
  const layers = layerBlobs(contents, image).map((layer) => ({
    ...layer,
    mediaType: layer.mediaType || typeOf(contents.files.blobPath(layer.digest)),
  }));
  const isOriginal = layers.every(({ digest }, i) => digest === manifest.layers[i]!.digest);
  // Layers that came with another image are the same below their compression: the image keeps its id.
  const bytes = isOriginal
    ? manifestBytes
    : json({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: ociConfig(manifest.config),
        layers,
      });
  const mediaType = isOriginal ? manifest.mediaType || mediaTypes.ociManifest : mediaTypes.ociManifest;
  return {
    names,
    manifest: { mediaType, digest: sha256Digest(bytes), size: bytes.length, bytes },
    config: manifest.config,
    layers,
  };
}

/**
 * OCI layout (image-spec image-layout.md). The names are those that podman, skopeo and containerd look for; manifest.json is
 * for docker, and for podman, which takes no more than one image from a layout.
 */
function ociMembers(images: Outgoing[]): Member[] {
  const manifests = images.flatMap(({ names, manifest: { mediaType, digest, size } }) =>
    (names.length === 0 ? [undefined] : names).map((name) => ({
      mediaType,
      digest,
      size,
      ...(name !== undefined && {
        annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
      }),
    })),
  );
  const items = images.map(({ names, config, layers }) => ({
    Config: blobPath(config.digest),
    RepoTags: names,
    Layers: layers.map(({ digest }) => blobPath(digest)),
  }));
  const blobs = new Map<string, Buffer | Descriptor>();
  for (const { manifest, config, layers } of images) {
    blobs.set(manifest.digest, manifest.bytes);
    for (const descriptor of [config, ...layers]) blobs.set(descriptor.digest, descriptor);
  }
  return [
    { path: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
    { path: 'index.json', content: json({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }) },
    { path: 'manifest.json', content: json(items) },
    ...[...blobs].map(([digest, content]) => ({ path: blobPath(digest), content })),
  ];
}

/** What `docker save` wrote before version 25. Its readers decide by content whether a layer is compressed. */
function dockerMembers(images: Outgoing[]): Member[] {
  const members = new Map<string, Descriptor>();
  const items = images.map(({ names, config, layers }) => {
    const fileOf = (descriptor: Descriptor, suffix: string) => {
      const path = `${descriptor.digest.slice('sha256:'.length)}${suffix}`;
      members.set(path, descriptor);
      return path;
    };
    return {
      Config: fileOf(config, '.json'),
      RepoTags: names,
      Layers: layers.map((layer) => fileOf(layer, '.tar')),
    };
  });
  return [
    { path: 'manifest.json', content: json(items) },
    ...[...members].map(([path, content]) => ({ path, content })),
  ];
}

async function* readBlob(
  contents: StoreContents,
  { digest, size }: Descriptor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  const stream = createReadStream(contents.files.blobPath(digest), {
    highWaterMark: chunkBytes,
    // A damaged file must not shift what comes after it.
    end: Math.max(0, size - 1),
    ...(signal && { signal }),
  });
  let read = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    read += chunk.length;
    yield chunk;
  }
  if (read === size && `sha256:${hash.digest('hex')}` === digest) return;
  contents.inventory.markDamaged(digest);
  throw new ImageError(
    'digest-mismatch',
    `save blob ${digest}: it is damaged; "verify" with repair gets it anew`,
  );
}

function typeOf(path: string): string {
  const start = Buffer.alloc(8);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, start);
  } finally {
    closeSync(fd);
  }
  const compression = detectCompression(start);
  return compression === 'none' ? mediaTypes.ociLayer : `${mediaTypes.ociLayer}+${compression}`;
}

function ociConfig({ digest, size }: Descriptor): Descriptor {
  return { mediaType: mediaTypes.ociConfig, digest, size };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
