import { ImageError } from '../errors.ts';
import type { LayerProgress } from '../image.ts';
import type { Descriptor } from '../manifest.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';
import type { DiskReserve } from './disk-reserve.ts';
import type { ImageDatabase, ImageRow, LayerRow } from './image-database.ts';
import { Inventory, type Rows } from './inventory.ts';
import { KeyedSemaphore } from './semaphore.ts';
import { type Joining, SharedTasks } from './shared-tasks.ts';
import type { StoreFiles } from './store-files.ts';
import { type LayerToUnpack, type UnpackedLayer, unpackLayer, type WantedLayer } from './unpack-layer.ts';

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

const parallelDownloads = 4;

/** Blobs and unpacked layers: made once however many ask, counted, collected when nobody needs them. */
export class StoreContents {
  readonly files: StoreFiles;
  readonly inventory: Inventory;
  readonly #db: ImageDatabase;
  readonly #pool: WorkerPool;
  readonly #log: (text: string) => void;
  readonly #reserve: DiskReserve;
  /** Blobs that are off the books, but whose file is still there. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #leases = new Set<Lease>();
  readonly #blobTasks = new SharedTasks<void, number>();
  readonly #layerTasks = new SharedTasks<void, LayerProgress>();
  readonly #downloads = new KeyedSemaphore(parallelDownloads);

  constructor(options: {
    files: StoreFiles;
    db: ImageDatabase;
    pool: WorkerPool;
    log: (text: string) => void;
    reserve: DiskReserve;
  }) {
    this.files = options.files;
    this.#db = options.db;
    this.#pool = options.pool;
    this.#log = options.log;
    this.#reserve = options.reserve;
    this.inventory = new Inventory(options.db);
    for (const { number } of this.inventory.layers()) this.files.takeLayerNumber(number);
  }

  /** Removes files that no row speaks of. */
  async removeLeftovers(): Promise<void> {
    const removed = await this.files.removeLeftovers({
      digests: new Set(this.inventory.digests()),
      layerNumbers: new Set(this.inventory.layers().map(({ number }) => number)),
    });
    if (removed > 0) this.#log(`removed ${removed} unfinished files and layers`);
    this.#reserve.refill();
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
    const layer = this.inventory.layer(chainId);
    if (layer === undefined)
      throw new ImageError('not-found', `find layer ${chainId}: it is not in the store`);
    return this.files.layerDir(layer.number);
  }

  /** Fetches a blob unless it is there. */
  async ensureBlob(descriptor: Descriptor, source: BlobSource, joining: Joining<number>): Promise<void> {
    const { digest, size } = descriptor;
    if (this.inventory.hasBlob(digest)) return;
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
            this.inventory.addBlob(digest, size);
          } catch (error) {
            await this.files.discard(temp);
            throw error;
          }
        },
        signal,
      ),
    );
  }

  /** Gets ready to unpack what is missing of these layers. */
  expectLayers(layers: readonly { chainId: string; size: number }[]): void {
    const missing = layers.filter(({ chainId }) => this.inventory.layer(chainId) === undefined);
    this.#pool.warm(missing.map(({ size }) => size));
  }

  /** Fetches and unpacks a layer unless it is there. */
  async ensureLayer(wanted: WantedLayer, source: BlobSource, joining: Joining<LayerProgress>): Promise<void> {
    const { digest, size: totalBytes } = wanted.descriptor;
    const report = (state: LayerProgress['state'], doneBytes: number) =>
      joining.onProgress?.({ digest, doneBytes, totalBytes, state });
    if (this.inventory.layer(wanted.chainId) !== undefined) {
      if (this.inventory.isDamaged(digest))
        await this.ensureBlob(wanted.descriptor, source, joining.signal ? { signal: joining.signal } : {});
      return report('exists', totalBytes);
    }
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
    const { row } = await this.unpackLayer(
      { digest, diffId, chainId, lowerChainIds, below },
      { signal, onProgress: report('unpacking') },
    );
    this.inventory.addLayer(row);
  }

  /** Unpacks a blob into a new directory, which is off the books: see {@link replaceLayer}. */
  unpackLayer(
    layer: LayerToUnpack,
    options: { signal?: AbortSignal; onProgress?: (doneBytes: number) => void },
  ): Promise<UnpackedLayer> {
    const context = { files: this.files, pool: this.#pool, log: this.#log };
    return unpackLayer(context, layer, { ...options, layerDir: (chainId) => this.layerDir(chainId) });
  }

  /** Puts a layer that was unpacked again in the place of the old one, synced. Nobody may have the old one mounted. */
  async replaceLayer(row: LayerRow): Promise<void> {
    await this.files.sync();
    const old = this.inventory.layer(row.chainId);
    this.#db.replaceLayer(row);
    if (old !== undefined) this.inventory.takeLayer(old);
    this.inventory.addLayer(row);
    this.inventory.setRecorded({ blobs: [], layers: [row] });
    await this.#db.flush();
    if (old !== undefined) await this.files.discardLayer(old.number);
  }

  /** Syncs what is new of an image. @returns the rows to record, none when all of it is recorded already */
  async syncNew(digests: readonly string[], chainIds: readonly string[]): Promise<Rows> {
    const rows = this.inventory.newRows(digests, chainIds);
    if (rows.blobs.length + rows.layers.length > 0) await this.files.sync();
    return rows;
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
    // A layer's blob stays with it, for whoever wants to save or repair it: an image may have come with another one.
    for (const chainId of chainIds) {
      const blob = this.inventory.layer(chainId)?.blob;
      if (blob != null) digests.add(blob);
    }
    const goneDigests = this.inventory.digests().filter((digest) => !digests.has(digest));
    const goneLayers = this.inventory.layers().filter(({ chainId }) => !chainIds.has(chainId));
    if (goneDigests.length + goneLayers.length === 0) return;
    // The rows first, for good: a row must never speak of a file that is gone.
    const forgotten = this.#forget(goneDigests, goneLayers);
    await Promise.all([
      ...goneDigests.map((digest) => this.#dropBlob(digest, forgotten)),
      ...goneLayers.map((layer) => this.#dropLayer(layer, forgotten)),
    ]);
    this.#reserve.refill();
  }

  /** What was never recorded, as after a failed pull, needs no change of the database. */
  #forget(digests: string[], layers: LayerRow[]): Promise<void> {
    const isRecorded = (key: string) => this.inventory.isRecorded(key);
    const known = {
      digests: digests.filter(isRecorded),
      chainIds: layers.map(({ chainId }) => chainId).filter(isRecorded),
    };
    if (known.digests.length + known.chainIds.length === 0) return Promise.resolve();
    this.#db.forget(known);
    return this.#db.flush();
  }

  async #dropBlob(digest: string, forgotten: Promise<void>): Promise<void> {
    this.inventory.takeBlob(digest);
    const gone = forgotten.then(() => this.files.discard(this.files.blobPath(digest)));
    this.#leaving.set(digest, gone);
    try {
      await gone;
    } finally {
      this.#leaving.delete(digest);
    }
  }

  async #dropLayer(layer: LayerRow, forgotten: Promise<void>): Promise<void> {
    this.inventory.takeLayer(layer);
    await forgotten;
    await this.files.discardLayer(layer.number);
  }
}
