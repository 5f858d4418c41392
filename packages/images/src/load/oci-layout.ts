import { blobPath, sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import type { Platform } from '../image.ts';
import {
  choosePlatform,
  type Descriptor,
  isAttestation,
  type Manifest,
  maxManifestBytes,
  parseManifest,
} from '../manifest.ts';
import { platformScore } from '../platform.ts';
import type { DirectorySource } from './directory-source.ts';

/** An image found in an archive or layout. */
export interface FoundImage {
  /** Names that the archive gives it, as they stand there. */
  names: string[];
  manifest: Manifest;
  /** Manifest and indexes above it, outermost first. */
  documents: Descriptor[];
  /** Layers as they come, where that is not as the manifest says. */
  layers?: Descriptor[];
}

const maxIndexDepth = 4;

/** Finds the images of an OCI layout (image-spec image-layout.md). @throws ImageError */
export function readOciLayout(source: DirectorySource, what: string, platform: Platform): FoundImage[] {
  const bytes = source.read('index.json');
  if (bytes === undefined) throw new ImageError('invalid-manifest', `load ${what}: it has no index.json`);
  const index = parseManifest(bytes);
  if (index.kind !== 'index')
    throw new ImageError('invalid-manifest', `load ${what}: index.json has no "manifests"`);
  const groups = Map.groupBy(
    index.manifests.filter((entry) => !isAttestation(entry)),
    (entry) => nameOf(entry) ?? '',
  );
  return [...groups].flatMap(([name, entries]) =>
    choose(name, entries, { platform, what }).map((entry) => ({
      names: name === '' ? [] : [name],
      ...followDocuments(source, entry, { platform, what }),
    })),
  );
}

/** Entries of one name are one image for several platforms; those without a name may be several images. */
function choose(
  name: string,
  entries: Descriptor[],
  { platform, what }: { platform: Platform; what: string },
): Descriptor[] {
  if (name !== '') return [choosePlatform(entries, platform, `${what} (${name})`)];
  const fitting = entries.filter(
    (entry) => entry.platform === undefined || platformScore(platform, entry.platform) > 0,
  );
  return fitting.length > 0 ? fitting : [choosePlatform(entries, platform, what)];
}

/** From a descriptor through indexes to the manifest for a platform. @throws ImageError */
export function followDocuments(
  source: DirectorySource,
  start: Descriptor,
  { platform, what }: { platform: Platform; what: string },
): { manifest: Manifest; documents: Descriptor[] } {
  const documents = [start];
  for (let entry = start; documents.length <= maxIndexDepth; documents.push(entry)) {
    const document = parseManifest(readVerified(source, entry, what), entry.mediaType);
    if (document.kind === 'manifest') return { manifest: document, documents };
    entry = choosePlatform(document.manifests, platform, what);
  }
  throw new ImageError(
    'invalid-manifest',
    `load ${what}: indexes are nested more than ${maxIndexDepth} deep`,
  );
}

function readVerified(source: DirectorySource, { digest, size }: Descriptor, what: string): Buffer {
  if (size > maxManifestBytes)
    throw new ImageError('invalid-manifest', `load ${what}: ${digest} has ${size} bytes`);
  const bytes = source.read(blobPath(digest));
  if (bytes === undefined) throw new ImageError('not-found', `load ${what}: manifest ${digest} is not in it`);
  const found = sha256Digest(bytes);
  if (found !== digest)
    throw new ImageError('digest-mismatch', `load ${what}: manifest ${digest} has digest ${found}`);
  return bytes;
}

/** Containerd's full name, or the layout's own, which may be no more than a tag. */
function nameOf({ annotations }: Descriptor): string | undefined {
  return annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
}
