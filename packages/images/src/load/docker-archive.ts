import { writeFileSync } from 'node:fs';
import { sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import { type Descriptor, type Manifest, parseConfig } from '../manifest.ts';
import { mediaTypes } from '../media-types.ts';
import type { DirectorySource } from './directory-source.ts';
import type { FoundImage } from './oci-layout.ts';

/** One element of a docker archive's manifest.json. */
interface ArchiveItem {
  config: string;
  repoTags: string[];
  layers: string[];
}

/**
 * Finds the images of an unpacked `docker save` archive, of Docker before and since version 25. As such an archive has no
 * manifests, OCI ones are made and written into `dir`.
 * @throws ImageError
 */
export async function readDockerArchive(
  source: DirectorySource,
  dir: string,
  { what, signal }: { what: string; signal?: AbortSignal | undefined },
): Promise<FoundImage[]> {
  const bytes = source.read('manifest.json');
  if (bytes === undefined) throw invalid(what, 'it has no manifest.json');
  const images: FoundImage[] = [];
  for (const item of parseItems(bytes, what)) {
    const config = await describe(source, item.config, mediaTypes.ociConfig, signal);
    const { diffIds } = parseConfig(source.read(item.config)!);
    if (diffIds.length !== item.layers.length) {
      throw invalid(what, `${item.config} has ${diffIds.length} diff ids for ${item.layers.length} layers`);
    }
    const layers: Descriptor[] = [];
    for (const layer of item.layers) layers.push(await describe(source, layer, mediaTypes.ociLayer, signal));
    const manifest: Manifest = { kind: 'manifest', mediaType: mediaTypes.ociManifest, config, layers };
    images.push({ names: item.repoTags, manifest, documents: [writeManifest(source, dir, manifest)] });
  }
  return images;
}

async function describe(
  source: DirectorySource,
  name: string,
  mediaType: string,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const { digest, size } = await source.hash(name, signal);
  source.names.set(digest, name);
  return { mediaType, digest, size };
}

function writeManifest(
  source: DirectorySource,
  dir: string,
  { mediaType, config, layers }: Manifest,
): Descriptor {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  const digest = sha256Digest(bytes);
  // No archive has this name: what is not a manifest there is a layer or an old layer's directory.
  const name = `.amphipod-manifest-${digest.slice('sha256:'.length)}`;
  writeFileSync(`${dir}/${name}`, bytes, { flag: 'wx' });
  source.names.set(digest, name);
  return { mediaType, digest, size: bytes.length };
}

function parseItems(bytes: Buffer, what: string): ArchiveItem[] {
  let items: unknown;
  try {
    items = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new ImageError('invalid-manifest', `load ${what}: manifest.json is not JSON`, { cause });
  }
  if (!Array.isArray(items)) throw invalid(what, 'manifest.json is not a list');
  return items.map((item: Record<string, unknown> | null) => {
    const { Config: config, RepoTags: repoTags, Layers: layers } = item ?? {};
    if (typeof config !== 'string' || !isTextList(layers)) {
      throw invalid(what, 'an image in manifest.json has no "Config" and "Layers"');
    }
    return { config, layers, repoTags: isTextList(repoTags) ? repoTags : [] };
  });
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function invalid(what: string, cause: string): ImageError {
  return new ImageError('invalid-manifest', `load ${what}: ${cause}`);
}
