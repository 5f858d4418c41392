import { ImageError } from '../errors.ts';
import type { LayerProgress } from '../image.ts';
import type { Descriptor } from '../manifest.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';
import type { ImageDatabase, ImageRow, LayerRow } from './image-database.ts';
import { KeyedSemaphore } from './semaphore.ts';
import { type Joining, SharedTasks } from './shared-tasks.ts';
import type { StoreFiles } from './store-files.ts';

/** Where blobs come from: a registry, a layout, an archive. */
export interface BlobSource {
  /** Blobs of one queue take turns, so that a slow registry does not hold up the others. */
  readonly queue?: string;
  /** Writes the content to a new file at `path`, checked against digest and size. @throws ImageError */
  fetch(descriptor: Descriptor, path: string, options: FetchOptions): Promise<void>;
}

export interface FetchOptions {
  signal: AbortSignal;
  onProgress: (doneBytes: number) => void;
}

/** What one pull needs and garbage collection must leave alone until it is recorded or given up. */
export interface Lease {
  digests: Set<string>;
  chainIds: Set<string>;
}

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

const parallelDownloads = 4;

/** Blobs and unpacked layers: made once however many ask, counted, collected when nobody needs them. */
export class StoreContents {
  readonly files: StoreFiles;
  readonly #db: ImageDatabase;
  readonly #pool: WorkerPool;
  readonly #log: (text: string) => void;
  readonly #blobs = new Map<string, number>();
  readonly #layers = new Map<string, LayerRow>();
  readonly #recorded = new Set<string>();
  /** Blobs that are off the books, but whose file is still there. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #leases = new Set<Lease>();
  readonly #blobTasks = new SharedTasks<void, number>();
  readonly #layerTasks = new SharedTasks<void, LayerProgress>();
  readonly #downloads = new KeyedSemaphore(parallelDownloads);
  #usedBytes = 0;
  #inodesUsed = 0;

  constructor(options: {
    files: StoreFiles;
    db: ImageDatabase;
    pool: WorkerPool;
    log: (text: string) => void;
  }) {
    this.files = options.files;
    this.#db = options.db;
    this.#pool = options.pool;
    this.#log = options.log;
    for (const { digest, size } of this.#db.blobs()) {
      this.#addBlob(digest, size);
      this.#recorded.add(digest);
    }
    for (const layer of this.#db.layers()) {
      this.#addLayer(layer);
      this.#recorded.add(layer.chainId);
    }
  }

  /** Removes files that no row speaks of. */
  async removeLeftovers(): Promise<void> {
    const removed = await this.files.removeLeftovers({
      digests: new Set(this.#blobs.keys()),
      layerNumbers: new Set([...this.#layers.values()].map(({ number }) => number)),
    });
    if (removed > 0) this.#log(`removed ${removed} unfinished files and layers`);
  }

  usage(): { usedBytes: bigint; inodesUsed: bigint } {
    return { usedBytes: BigInt(this.#usedBytes), inodesUsed: BigInt(this.#inodesUsed) };
  }

  openLease(): Lease {
    const lease: Lease = { digests: new Set(), chainIds: new Set() };
    this.#leases.add(lease);
    return lease;
  }

  closeLease(lease: Lease): void {
    this.#leases.delete(lease);
  }

  layerDir(chainId: string): string {
    const layer = this.#layers.get(chainId);
    if (layer === undefined)
      throw new ImageError('not-found', `find layer ${chainId}: it is not in the store`);
    return this.files.layerDir(layer.number);
  }

  hasBlob(digest: string): boolean {
    return this.#blobs.has(digest);
  }

  /** Fetches a blob unless it is there. */
  async ensureBlob(descriptor: Descriptor, source: BlobSource, joining: Joining<number>): Promise<void> {
    const { digest, size } = descriptor;
    if (this.#blobs.has(digest)) return;
    await this.#blobTasks.run(digest, joining, (signal, onProgress) =>
      this.#downloads.run(
        source.queue ?? '',
        async () => {
          // An earlier copy must be out of the way before this one takes its place.
          await this.#leaving.get(digest);
          const temp = this.files.tempPath();
          try {
            await source.fetch(descriptor, temp, { signal, onProgress });
            this.files.placeBlob(temp, digest);
            this.#addBlob(digest, size);
          } catch (error) {
            await this.files.discard(temp);
            throw error;
          }
        },
        signal,
      ),
    );
  }

  /** Fetches and unpacks a layer unless it is there. */
  async ensureLayer(wanted: WantedLayer, source: BlobSource, joining: Joining<LayerProgress>): Promise<void> {
    const { digest, size: totalBytes } = wanted.descriptor;
    const report = (state: LayerProgress['state'], doneBytes: number) =>
      joining.onProgress?.({ digest, doneBytes, totalBytes, state });
    if (this.#layers.has(wanted.chainId)) return report('exists', totalBytes);
    report('waiting', 0);
    await this.#layerTasks.run(wanted.chainId, joining, (signal, onProgress) =>
      this.#makeLayer(wanted, source, { signal, onProgress }),
    );
    report('done', totalBytes);
  }

  async #makeLayer(
    { descriptor, diffId, chainId, lowerChainIds, below }: WantedLayer,
    source: BlobSource,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: LayerProgress) => void },
  ): Promise<void> {
    const { digest, size: totalBytes } = descriptor;
    const report = (state: LayerProgress['state']) => (doneBytes: number) =>
      onProgress({ digest, doneBytes, totalBytes, state });
    await this.ensureBlob(descriptor, source, { signal, onProgress: report('downloading') });
    const highest = Math.max(0, ...[...this.#layers.values()].map(({ number }) => number));
    const number = this.files.makeLayerDir(highest + 1);
    const dir = this.files.layerDir(number);
    try {
      const unpacked = await this.#pool.run(
        { job: 'unpack', path: this.files.blobPath(digest), dir, kind: 'layer' },
        { signal, onProgress: report('unpacking') },
      );
      if (unpacked.diffId !== diffId) {
        const text = `it unpacks to ${unpacked.diffId}, but the image config says ${diffId}`;
        throw new ImageError('digest-mismatch', `unpack layer ${digest}: ${text}`);
      }
      for (const warning of unpacked.warnings) this.#log(`unpack layer ${digest}: ${warning}`);
      await below;
      const lowerDirs = lowerChainIds.map((lower) => this.layerDir(lower));
      const { implicitDirs, whiteouts } = unpacked;
      if (implicitDirs.length + whiteouts.length > 0) {
        await this.#pool.run({ job: 'settle', dir, lowerDirs, unsettled: { implicitDirs, whiteouts } });
      }
      this.#addLayer({ chainId, number, diskBytes: unpacked.diskBytes, inodes: unpacked.inodes });
    } catch (error) {
      await this.files.discard(`${this.files.root}/layers/${number}`);
      throw error;
    }
  }

  /** Syncs what is new of an image. @returns the rows to record, none when all of it is recorded already */
  async syncNew(digests: readonly string[], chainIds: readonly string[]) {
    const blobs = digests
      .filter((digest) => this.#blobs.has(digest) && !this.#recorded.has(digest))
      .map((digest) => ({ digest, size: this.#blobs.get(digest)! }));
    const layers = chainIds
      .filter((chainId) => !this.#recorded.has(chainId))
      .map((chainId) => this.#layers.get(chainId)!);
    if (blobs.length + layers.length > 0) await this.files.sync();
    return { blobs, layers };
  }

  /** These are in the database now. */
  setRecorded({
    blobs,
    layers,
  }: {
    blobs: readonly { digest: string }[];
    layers: readonly LayerRow[];
  }): void {
    for (const { digest } of blobs) this.#recorded.add(digest);
    for (const { chainId } of layers) this.#recorded.add(chainId);
  }

  /** Deletes what neither an image nor a running pull needs. Gone from the books at once; from the disk when it resolves. */
  async collect(images: Iterable<Pick<ImageRow, 'blobs' | 'chainIds'>>): Promise<void> {
    const digests = new Set<string>();
    const chainIds = new Set<string>();
    for (const image of images) {
      for (const digest of image.blobs) digests.add(digest);
      for (const chainId of image.chainIds) chainIds.add(chainId);
    }
    for (const lease of this.#leases) {
      for (const digest of lease.digests) digests.add(digest);
      for (const chainId of lease.chainIds) chainIds.add(chainId);
    }
    const goneDigests = [...this.#blobs.keys()].filter((digest) => !digests.has(digest));
    const goneLayers = [...this.#layers.values()].filter(({ chainId }) => !chainIds.has(chainId));
    if (goneDigests.length + goneLayers.length === 0) return;
    // The rows first, for good: a row must never speak of a file that is gone.
    this.#db.forget({ digests: goneDigests, chainIds: goneLayers.map(({ chainId }) => chainId) });
    const forgotten = this.#db.flush();
    await Promise.all([
      ...goneDigests.map((digest) => this.#dropBlob(digest, forgotten)),
      ...goneLayers.map((layer) => this.#dropLayer(layer, forgotten)),
    ]);
  }

  #addBlob(digest: string, size: number): void {
    this.#blobs.set(digest, size);
    this.#usedBytes += size;
    this.#inodesUsed += 1;
  }

  #addLayer(layer: LayerRow): void {
    this.#layers.set(layer.chainId, layer);
    this.#usedBytes += layer.diskBytes;
    this.#inodesUsed += layer.inodes;
  }

  async #dropBlob(digest: string, forgotten: Promise<void>): Promise<void> {
    this.#usedBytes -= this.#blobs.get(digest)!;
    this.#inodesUsed -= 1;
    this.#blobs.delete(digest);
    this.#recorded.delete(digest);
    const gone = forgotten.then(() => this.files.discard(this.files.blobPath(digest)));
    this.#leaving.set(digest, gone);
    try {
      await gone;
    } finally {
      this.#leaving.delete(digest);
    }
  }

  async #dropLayer(
    { chainId, number, diskBytes, inodes }: LayerRow,
    forgotten: Promise<void>,
  ): Promise<void> {
    this.#usedBytes -= diskBytes;
    this.#inodesUsed -= inodes;
    this.#layers.delete(chainId);
    this.#recorded.delete(chainId);
    await forgotten;
    await this.files.discard(`${this.files.root}/layers/${number}`);
  }
}
