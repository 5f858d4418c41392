import { mkdirSync, writeFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { blobPath, sha256Digest } from './digest.ts';
import type { OciImageConfig, Platform } from './image.ts';
import { mediaTypes } from './media-types.ts';
import { hostPlatform } from './platform.ts';
import { type Entry, writeTar } from './tar-writer.ts';

export interface ImageSpec {
  /** Bottom layer first; a Buffer is a layer's tar archive as it is. */
  layers: (Entry[] | Buffer)[];
  config?: OciImageConfig;
  /** Name of the image in the layout (`org.opencontainers.image.ref.name`): `localhost/web:latest`. */
  name?: string;
  platform?: Platform;
  /** Default gzip. */
  compression?: 'gzip' | 'zstd' | 'none';
  annotations?: Record<string, string>;
}

/** A piece of content: media type, digest and size (image-spec, descriptor.md). */
interface Written {
  mediaType: string;
  digest: string;
  size: number;
}

/**
 * Writes an OCI image layout with one image into `dir` (made when missing). The same input gives the same bytes.
 * @returns digest of the manifest, and the image's id (digest of the config)
 */
export function buildImageLayout(dir: string, image: ImageSpec): { manifestDigest: string; id: string } {
  mkdirSync(`${dir}/blobs/sha256`, { recursive: true });
  const put = (mediaType: string, bytes: Buffer): Written => {
    const digest = sha256Digest(bytes);
    writeFileSync(`${dir}/${blobPath(digest)}`, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const tars = image.layers.map((layer) => (Buffer.isBuffer(layer) ? layer : writeTar(layer)));
  const layers = tars.map((tar) => putLayer(put, tar, image.compression ?? 'gzip'));
  const platform = image.platform ?? hostPlatform();
  const config = put(
    mediaTypes.ociConfig,
    json({
      created: '1970-01-01T00:00:00Z',
      architecture: platform.architecture,
      ...(platform.variant !== undefined && { variant: platform.variant }),
      os: platform.os,
      config: image.config ?? {},
      rootfs: { type: 'layers', diff_ids: tars.map(sha256Digest) },
    }),
  );
  const manifest = put(
    mediaTypes.ociManifest,
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers,
      ...(image.annotations && { annotations: image.annotations }),
    }),
  );
  const annotations = image.name === undefined ? {} : { 'org.opencontainers.image.ref.name': image.name };
  writeFileSync(
    `${dir}/index.json`,
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ ...manifest, platform, annotations }],
    }),
  );
  writeFileSync(`${dir}/oci-layout`, json({ imageLayoutVersion: '1.0.0' }));
  return { manifestDigest: manifest.digest, id: config.digest };
}

function putLayer(
  put: (mediaType: string, bytes: Buffer) => Written,
  tar: Buffer,
  compression: 'gzip' | 'zstd' | 'none',
): Written {
  switch (compression) {
    case 'gzip':
      return put(`${mediaTypes.ociLayer}+gzip`, gzipSync(tar));
    case 'zstd':
      return put(`${mediaTypes.ociLayer}+zstd`, zstdCompressSync(tar));
    case 'none':
      return put(mediaTypes.ociLayer, tar);
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
