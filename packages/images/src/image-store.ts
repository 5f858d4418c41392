import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { FileLock, unmount } from '@amphipod/linux';
import { asDiskFull, ImageError } from './errors.ts';
import type {
  Image,
  ImageDetails,
  ImageStore,
  ImageStoreSettings,
  LoadOptions,
  LoadSource,
  PullOptions,
  RootfsMount,
  SaveOptions,
  VerifyOptions,
  VerifyReport,
} from './image.ts';
import { loadImages } from './load/load-images.ts';
import { parseReference } from './reference.ts';
import { HttpConnections } from './registry/http-exchange.ts';
import { type PullContext, pullImage, registrySource } from './registry/pull-image.ts';
import type { RetryPolicy } from './registry/retries.ts';
import { saveImages } from './save/save-images.ts';
import { readSignaturePolicy } from './signatures/policy.ts';
import { describeImage } from './store/describe-image.ts';
import { DiskReserve } from './store/disk-reserve.ts';
import { ImageDatabase, type ImageRow } from './store/image-database.ts';
import { ImageIndex } from './store/image-index.ts';
import { idMappedDir, mountOverlay, visibleLayers } from './store/mount-rootfs.ts';
import { pinMatcher } from './store/pins.ts';
import { SharedTasks } from './store/shared-tasks.ts';
import { StoreContents } from './store/store-contents.ts';
import { StoreFiles } from './store/store-files.ts';
import { WorkerPool } from './unpack/worker-pool.ts';
import { verifyStore } from './verify/verify-store.ts';

export interface ImageStoreOptions extends ImageStoreSettings {
  /** Directory of the store, made when missing. One process at a time. */
  root: string;
  /** Told of what a person may want to know: attributes that could not be set, leftovers of a crash. */
  log?: (text: string) => void;
  retries?: RetryPolicy;
  /** A download that moves no byte for so long is broken off (and resumed). Default 60 s. */
  progressTimeoutMs?: number;
  /** Layers that are unpacked at a time. Default: one for each core, at most 4. */
  threads?: number;
}

const maxThreads = 4;

/** Opens (or makes) the store under `root`, and removes what an earlier process left unfinished. @throws ImageError store-in-use, invalid-registry-config */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const { root, signaturePolicy } = options;
  if (signaturePolicy !== undefined) readSignaturePolicy(signaturePolicy);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const lock = FileLock.try(`${root}/lock`);
  if (lock === undefined) {
    throw new ImageError(
      'store-in-use',
      `open image store ${JSON.stringify(root)}: another process has it open`,
    );
  }
  // A process that was killed while it made a mount for a user namespace.
  unmount(idMappedDir(root));
  const pool = new WorkerPool(options.threads ?? Math.min(availableParallelism(), maxThreads));
  try {
    const store = new Store(options, { lock, pool });
    await store.contents.removeLeftovers();
    return store;
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    lock[Symbol.dispose]();
    throw error;
  }
}

class Store implements ImageStore {
  readonly contents: StoreContents;
  readonly #index: ImageIndex;
  readonly #db: ImageDatabase;
  readonly #pool: WorkerPool;
  readonly #lock: FileLock;
  readonly #log: (text: string) => void;
  readonly #connections: HttpConnections;
  readonly #pulling: PullContext;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: ImageStoreOptions, { lock, pool }: { lock: FileLock; pool: WorkerPool }) {
    const { root, log = () => {} } = options;
    this.#lock = lock;
    this.#log = log;
    this.#pool = pool;
    const reserve = new DiskReserve(`${root}/reserve`);
    this.#db = reserve.use(() => new ImageDatabase(`${root}/images.db`, reserve));
    const files = new StoreFiles(root, pool);
    this.contents = new StoreContents({ files, db: this.#db, pool, log, reserve });
    this.#index = new ImageIndex(this.#db, pinMatcher(options.pinned ?? []));
    this.#connections = new HttpConnections({
      progressTimeoutMs: options.progressTimeoutMs ?? 60_000,
      env: options.registries?.env,
    });
    this.#pulling = {
      contents: this.contents,
      index: this.#index,
      db: this.#db,
      connections: this.#connections,
      registries: options.registries ?? {},
      ...(options.retries && { retries: options.retries }),
      signaturePolicy: options.signaturePolicy,
      pulls: new SharedTasks({ failsForAll: true }),
    };
    mkdirSync(`${root}/empty`, { recursive: true, mode: 0o755 });
  }

  pull(reference: string, options: PullOptions = {}): Promise<Image> {
    return this.#run(options.signal, `pull ${reference}`, (signal) =>
      pullImage(this.#pulling, reference, { ...options, signal }),
    );
  }

  load(source: LoadSource, options: LoadOptions = {}): Promise<Image[]> {
    const { signaturePolicy } = this.#pulling;
    const context = {
      contents: this.contents,
      index: this.#index,
      db: this.#db,
      pool: this.#pool,
      signaturePolicy,
    };
    return this.#run(options.signal, `load ${source.path}`, (signal) =>
      loadImages(context, source, { ...options, signal }),
    );
  }

  async *save(references: readonly string[], options: SaveOptions = {}): AsyncGenerator<Buffer, void> {
    const done = Promise.withResolvers<void>();
    void this.#track(done.promise);
    try {
      const store = { contents: this.contents, index: this.#index };
      yield* saveImages(store, references, { ...options, signal: this.#signal(options.signal) });
    } finally {
      done.resolve();
    }
  }

  verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    const { auth } = options;
    const context = {
      contents: this.contents,
      index: this.#index,
      pool: this.#pool,
      sourceOf: (text: string) => registrySource(this.#pulling, parseReference(text), auth),
    };
    return this.#run(options.signal, 'verify', (signal) => verifyStore(context, { ...options, signal }));
  }

  describe(id: string): ImageDetails {
    return describeImage(this.contents, this.#row(id));
  }

  list(): readonly Image[] {
    return this.#index.list();
  }

  find(reference: string): Image | undefined {
    return this.#index.find(reference);
  }

  async remove(reference: string): Promise<void> {
    const image = this.#index.find(reference);
    if (image === undefined) return;
    this.#index.remove(image.id);
    await this.contents.collect(this.#index.rows());
    await this.#db.flush();
  }

  configure({ pinned = [], registries = {}, signaturePolicy }: ImageStoreSettings): void {
    if (signaturePolicy !== undefined) readSignaturePolicy(signaturePolicy);
    Object.assign(this.#pulling, { registries, signaturePolicy });
    this.#index.pinByName(pinMatcher(pinned));
  }

  setPinned(id: string, pinned: boolean): void {
    this.#index.setPinned(id, pinned);
  }

  usage(): { usedBytes: bigint; inodesUsed: bigint } {
    return this.contents.inventory.usage();
  }

  lowerDirs(id: string): string[] {
    const dirs = this.#row(id)
      .chainIds.map((chainId) => this.contents.layerDir(chainId))
      .reverse();
    // Overlay needs a lower directory, also for an image without layers.
    return dirs.length === 0 ? [`${this.contents.files.root}/empty`] : visibleLayers(dirs);
  }

  mountRootfs(id: string, mount: RootfsMount): void {
    mountOverlay(this.lowerDirs(id), { ...mount, storeRoot: this.contents.files.root });
  }

  acquire(id: string, ownerId: string): void {
    try {
      this.#index.acquire(this.#row(id).id, ownerId);
    } catch (error) {
      throw this.#diskError(error, `keep image ${id}`);
    }
  }

  release(ownerId: string, id?: string): void {
    if (!this.#index.release(ownerId, id)) return;
    // What is deleted is off the books when this returns; the disk follows.
    const collected = this.contents.collect(this.#index.rows());
    void this.#track(
      collected.catch((error: Error) => this.#log(`delete released layers: ${error.message}`)),
    );
  }

  owners(): { ownerId: string; imageId: string }[] {
    return this.#index.owners();
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new ImageError('not-found', 'the image store is closed'));
    await Promise.allSettled(this.#running);
    this.#connections[Symbol.dispose]();
    await this.#pool[Symbol.asyncDispose]();
    this.#db[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #row(id: string): ImageRow {
    const row = this.#index.row(id);
    if (row === undefined)
      throw new ImageError('not-found', `find image ${JSON.stringify(id)}: no such image`);
    return row;
  }

  /** Runs work that ends when its caller or the store has had enough. */
  #run<T>(
    signal: AbortSignal | undefined,
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const running = work(this.#signal(signal)).catch((error: unknown) => {
      throw this.#diskError(error, what);
    });
    return this.#track(running);
  }

  #diskError(error: unknown, what: string): unknown {
    return asDiskFull(error, { what, root: this.contents.files.root });
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    const closing = this.#closing.signal;
    return signal === undefined ? closing : AbortSignal.any([signal, closing]);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const forget = () => this.#running.delete(work);
    work.then(forget, forget);
    return work;
  }
}
