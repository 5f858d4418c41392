import { existsSync } from 'node:fs';
import { ImageError } from '../errors.ts';
import type { DirectorySource } from '../load/directory-source.ts';
import { type Descriptor, type Manifest, parseConfig, parseManifest } from '../manifest.ts';
import { mediaTypes } from '../media-types.ts';
import type { BlobSource, FetchOptions } from '../store/store-contents.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';
import type { ImportedImage } from './containerd.ts';

// The storage of CRI-O, podman and buildah (github.com/containers/storage), below its root, for driver D:
// D-images/images.json, D-images/ID/KEY (manifests and configurations), D-layers/layers.json, D-layers/ID.tar-split.gz,
// and the unpacked layers in overlay/ID/diff or vfs/dir/ID. Layers as they came are not kept; tar-split is what is needed
// beside the unpacked tree to write the archive without compression again, byte for byte.

const drivers = { overlay: (id: string) => `overlay/${id}/diff`, vfs: (id: string) => `vfs/dir/${id}` };
type Driver = keyof typeof drivers;

/** One element of images.json. */
interface StoredImage {
  id: string;
  names?: string[];
  layer?: string;
  'big-data-names'?: string[];
}

/** One element of layers.json. */
interface StoredLayer {
  id: string;
  parent?: string;
  'diff-digest'?: string;
  'diff-size'?: number;
}

/** Images of a containers/storage root, and their content. */
export class ContainersStorage implements BlobSource {
  readonly #root: string;
  readonly #driver: Driver;
  readonly #files: DirectorySource;
  readonly #pool: WorkerPool;
  readonly #layers: Map<string, StoredLayer>;
  /** Digest of a layer without compression to its id. */
  readonly #layerIds = new Map<string, string>();

  /** @throws ImageError not-found when there is no storage at `root` */
  constructor(root: string, files: DirectorySource, pool: WorkerPool) {
    const found = (Object.keys(drivers) as Driver[]).find((name) =>
      existsSync(`${root}/${name}-images/images.json`),
    );
    if (found === undefined) {
      const text = 'no overlay-images/images.json and no vfs-images/images.json in it';
      throw new ImageError('not-found', `import from containers-storage ${JSON.stringify(root)}: ${text}`);
    }
    this.#root = root;
    this.#driver = found;
    this.#files = files;
    this.#pool = pool;
    this.#layers = new Map(this.#list<StoredLayer>('layers').map((layer) => [layer.id, layer]));
  }

  /** Every image, or why it cannot be taken. */
  images(): ImportedImage[] {
    return this.#list<StoredImage>('images').map((image) => {
      const names = image.names ?? [];
      try {
        return { names, ...this.#read(image) };
      } catch (error) {
        if (!(error instanceof ImageError)) throw error;
        return { names: names.length === 0 ? [image.id] : names, error };
      }
    });
  }

  async fetch(descriptor: Descriptor, path: string, options: FetchOptions): Promise<void> {
    const { digest, size } = descriptor;
    const id = this.#layerIds.get(digest);
    if (id === undefined) return this.#files.fetch(descriptor, path, options);
    const tarSplit = `${this.#root}/${this.#driver}-layers/${id}.tar-split.gz`;
    if (!existsSync(tarSplit)) {
      const text = 'its tar-split is not kept, without which it cannot be written as an archive again';
      throw new ImageError('not-found', `import layer ${digest}: ${text}`);
    }
    const tree = `${this.#root}/${drivers[this.#driver](id)}`;
    const found = await this.#pool.run({ job: 'assemble', tarSplit, tree, path }, options);
    if (found.digest === digest && found.size === size) return;
    const text = `its files in ${JSON.stringify(tree)} make digest ${found.digest}: they were changed`;
    throw new ImageError('digest-mismatch', `import layer ${digest}: ${text}`);
  }

  #read(image: StoredImage): { manifest: Manifest; documents: Descriptor[]; layers: Descriptor[] } {
    const dir = `${this.#driver}-images/${image.id}`;
    const keys = image['big-data-names'] ?? [];
    const read = (key: string) => {
      const name = `${dir}/${fileName(key)}`;
      const bytes = this.#files.read(name);
      if (bytes === undefined) throw invalid(image, `${JSON.stringify(name)} is missing`);
      return { name, bytes };
    };
    let manifest: Manifest | undefined;
    const documents: Descriptor[] = [];
    for (const key of keys.filter((name) => name.startsWith('manifest-sha256:'))) {
      const { name, bytes } = read(key);
      const document = parseManifest(bytes);
      const digest = key.slice('manifest-'.length);
      this.#files.names.set(digest, name);
      const descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
      if (document.kind === 'manifest') {
        manifest = document;
        documents.push(descriptor);
      } else documents.unshift(descriptor);
    }
    if (manifest === undefined) throw invalid(image, 'its manifest is not kept');
    const { name, bytes } = read(manifest.config.digest);
    this.#files.names.set(manifest.config.digest, name);
    return { manifest, documents, layers: this.#layersOf(image, parseConfig(bytes).diffIds) };
  }

  #layersOf(image: StoredImage, diffIds: readonly string[]): Descriptor[] {
    const layers: Descriptor[] = [];
    for (let id = image.layer ?? ''; id !== ''; ) {
      const layer = this.#layers.get(id);
      const { 'diff-digest': digest = '', 'diff-size': size = -1 } = layer ?? {};
      if (layer === undefined || digest !== diffIds[diffIds.length - 1 - layers.length]) {
        throw invalid(image, `its layer ${id} is not there, or not the one that its configuration names`);
      }
      this.#layerIds.set(digest, id);
      layers.push({ mediaType: mediaTypes.ociLayer, digest, size });
      id = layer.parent ?? '';
    }
    return layers.reverse();
  }

  #list<T>(what: 'images' | 'layers'): T[] {
    const name = `${this.#driver}-${what}/${what}.json`;
    const bytes = this.#files.read(name);
    try {
      return JSON.parse(bytes?.toString('utf8') ?? '[]') as T[];
    } catch (cause) {
      throw new ImageError('invalid-manifest', `read ${JSON.stringify(`${this.#root}/${name}`)}: not JSON`, {
        cause,
      });
    }
  }
}

/** Keys that are no plain file names stand in base64 behind a "=". */
function fileName(key: string): string {
  return /^[a-z]+$/.test(key) ? key : `=${Buffer.from(key).toString('base64')}`;
}

function invalid({ id }: StoredImage, cause: string): ImageError {
  return new ImageError('invalid-manifest', `import image ${id} from containers-storage: ${cause}`);
}
