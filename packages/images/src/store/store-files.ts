import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { libcAsync } from '@amphipod/linux';
import { blobPath } from '../digest.ts';
import { ImageError, isDiskFull } from '../errors.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';

/**
 * The directories of a store:
 * `blobs/sha256/HEX` content as it came; `layers/N/fs` unpacked layers (short names: overlay's option string is limited);
 * `tmp/N` what is being made; `trash/N` what is being deleted. Nothing in `tmp` and `trash` survives an opening.
 */
export class StoreFiles {
  readonly root: string;
  readonly #pool: WorkerPool;
  #next = 1;
  #nextLayer = 1;

  constructor(root: string, pool: WorkerPool) {
    this.root = root;
    this.#pool = pool;
    for (const dir of ['blobs/sha256', 'layers', 'tmp', 'trash']) {
      mkdirSync(`${root}/${dir}`, { recursive: true, mode: 0o700 });
    }
    for (const dir of ['tmp', 'trash', 'layers']) {
      for (const name of readdirSync(`${root}/${dir}`)) {
        if (dir === 'layers') this.#nextLayer = Math.max(this.#nextLayer, Number(name) + 1 || 0);
        else this.#next = Math.max(this.#next, Number(name) + 1 || 0);
      }
    }
  }

  blobPath(digest: string): string {
    return `${this.root}/${blobPath(digest)}`;
  }

  layerDir(number: number): string {
    return `${this.root}/layers/${number}/fs`;
  }

  /** A new name below `tmp`, for a file or a directory. */
  tempPath(): string {
    return `${this.root}/tmp/${this.#next++}`;
  }

  /** A layer has this number, even where its directory is gone: no new one gets it. */
  takeLayerNumber(number: number): void {
    this.#nextLayer = Math.max(this.#nextLayer, number + 1);
  }

  /** A new, empty layer directory. */
  makeLayerDir(): number {
    const number = this.#nextLayer++;
    mkdirSync(`${this.root}/layers/${number}`, { mode: 0o700 });
    mkdirSync(this.layerDir(number), { mode: 0o755 });
    return number;
  }

  /** Puts a verified file in its place. */
  placeBlob(tempPath: string, digest: string): void {
    renameSync(tempPath, this.blobPath(digest));
  }

  /** Small content (manifests, configurations). @throws ImageError not-found */
  readBlob(digest: string): Buffer {
    try {
      return readFileSync(this.blobPath(digest));
    } catch (cause) {
      throw new ImageError('not-found', `read blob ${digest}: it is not in the store`, { cause });
    }
  }

  /**
   * Deletes something below the root, in two steps: gone from its place when this returns, so that the same name can be
   * made anew; off the disk when it resolves. A missing one is fine.
   */
  discard(path: string): Promise<void> {
    const name = String(this.#next++);
    try {
      renameSync(path, `${this.root}/trash/${name}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Promise.resolve();
      // A full disk may have no room for one more name in the trash.
      if (isDiskFull(error)) return this.#remove(path);
      throw error;
    }
    return this.#empty('trash', name);
  }

  discardLayer(number: number): Promise<void> {
    return this.discard(`${this.root}/layers/${number}`);
  }

  /** Deletes what an earlier process did not finish or record. */
  async removeLeftovers(known: {
    digests: ReadonlySet<string>;
    layerNumbers: ReadonlySet<number>;
  }): Promise<number> {
    const leftovers: Promise<void>[] = [];
    for (const dir of ['tmp', 'trash'] as const) {
      for (const name of readdirSync(`${this.root}/${dir}`)) leftovers.push(this.#empty(dir, name));
    }
    // A name that is none of ours is somebody else's.
    for (const hex of readdirSync(`${this.root}/blobs/sha256`)) {
      if (/^[0-9a-f]{64}$/.test(hex) && !known.digests.has(`sha256:${hex}`))
        leftovers.push(this.discard(`${this.root}/blobs/sha256/${hex}`));
    }
    for (const name of readdirSync(`${this.root}/layers`)) {
      if (/^\d+$/.test(name) && !known.layerNumbers.has(Number(name)))
        leftovers.push(this.discard(`${this.root}/layers/${name}`));
    }
    await Promise.all(leftovers);
    return leftovers.length;
  }

  /** Everything written so far is on disk when it resolves. */
  async sync(): Promise<void> {
    const fd = openSync(this.root, 'r');
    try {
      // The pool's errno is lost; syncfs fails for a broken disk only.
      if ((await libcAsync('syncfs', fd)) < 0)
        throw new ImageError('unpack-failed', `sync ${this.root}: syncfs failed`);
    } finally {
      closeSync(fd);
    }
  }

  #empty(dir: 'tmp' | 'trash', name: string): Promise<void> {
    return this.#remove(`${this.root}/${dir}/${name}`);
  }

  async #remove(path: string): Promise<void> {
    await this.#pool.run({ job: 'remove', parent: dirname(path), name: basename(path) });
  }
}
