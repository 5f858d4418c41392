import { existsSync } from 'node:fs';
import { isDigest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import type { Platform } from '../image.ts';
import type { DirectorySource } from '../load/directory-source.ts';
import { type FoundImage, followDocuments } from '../load/oci-layout.ts';
import type { Descriptor } from '../manifest.ts';
import { type BoltBucket, readBoltFile } from './bolt-file.ts';

/** Where the content of containerd is, below its root; blobs stand in it as in an OCI layout. */
export const containerdContent = 'io.containerd.content.v1.content';
const metadataFile = 'io.containerd.metadata.v1.bolt/meta.db';

/** What an image in another store has, or why it cannot be taken. */
export type ImportedImage = FoundImage | { names: string[]; error: ImageError };

/**
 * Finds the images in containerd's own files, by names in one of its namespaces. containerd may be running: its blobs never
 * change once they are there.
 * @throws ImageError not-found
 */
export function readContainerd(
  source: DirectorySource,
  { root, namespace, platform }: { root: string; namespace: string; platform: Platform },
): ImportedImage[] {
  const file = `${root}/${metadataFile}`;
  if (!existsSync(file)) {
    throw new ImageError('not-found', `import from containerd: there is no ${JSON.stringify(file)}`);
  }
  const namespaces = readBoltFile(file).buckets.get('v1')?.buckets ?? new Map<string, BoltBucket>();
  const images = namespaces.get(namespace)?.buckets.get('images')?.buckets;
  if (images === undefined) {
    const known = [...namespaces].filter(([, { buckets }]) => buckets.has('images')).map(([name]) => name);
    const text = known.length === 0 ? 'it has no images' : `it has images in ${known.join(', ')}`;
    throw new ImageError(
      'not-found',
      `import from containerd: namespace ${JSON.stringify(namespace)}: ${text}`,
    );
  }
  const targets = new Map<string, { names: string[]; target: Descriptor }>();
  for (const [name, bucket] of images) {
    // CRI's third name of every image, its id, is no reference.
    if (isDigest(name)) continue;
    const target = targetOf(bucket);
    const entry = targets.get(target.digest) ?? { names: [], target };
    targets.set(target.digest, { ...entry, names: [...entry.names, name] });
  }
  return [...targets.values()].map(({ names, target }) => {
    const what = `containerd's image ${names[0]}`;
    try {
      return { names, ...followDocuments(source, target, { platform, what }) };
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      return { names, error };
    }
  });
}

function targetOf({ buckets }: BoltBucket): Descriptor {
  const values = buckets.get('target')?.values;
  const text = (key: string) => values?.get(key)?.toString('utf8') ?? '';
  return { mediaType: text('mediatype'), digest: text('digest'), size: signedVarint(values?.get('size')) };
}

/** Go's binary.PutVarint: seven bits a byte, the lowest first, the sign in the lowest of all. */
function signedVarint(bytes: Buffer = Buffer.alloc(0)): number {
  let value = 0n;
  for (const [i, byte] of bytes.entries()) value |= BigInt(byte & 0x7f) << BigInt(7 * i);
  return Number((value & 1n) === 0n ? value >> 1n : -(value >> 1n) - 1n);
}
