import { closeSync, fstatSync, linkSync, readFileSync, readlinkSync } from 'node:fs';
import { isCode, openBeneath, openRootDir, SyscallError } from '@amphipod/linux';
import { blobPath } from '../digest.ts';
import { ImageError } from '../errors.ts';
import { type Descriptor, maxManifestBytes } from '../manifest.ts';
import type { BlobSource, FetchOptions } from '../store/store-contents.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';

/** Files below a directory, as a source of blobs. Links in it may not lead out (field case IMG-16). */
export class DirectorySource implements BlobSource, Disposable {
  readonly #rootFd: number;
  readonly #path: string;
  readonly #pool: WorkerPool;
  readonly #isOurs: boolean;
  /** Digest to file name, for blobs that are not at `blobs/ALGORITHM/HEX`. */
  readonly names = new Map<string, string>();

  /** @param isOurs the directory is on the store's file system and nobody else's, so that files need not be copied */
  constructor(path: string, pool: WorkerPool, { isOurs }: { isOurs: boolean }) {
    this.#path = path;
    this.#pool = pool;
    this.#isOurs = isOurs;
    this.#rootFd = openRootDir(path);
    if (this.#rootFd < 0) throw new SyscallError('open', -this.#rootFd, path);
  }

  async fetch(
    { digest, size }: Descriptor,
    path: string,
    { signal, onProgress }: FetchOptions,
  ): Promise<void> {
    const found = await this.#hash(this.names.get(digest) ?? blobPath(digest), path, {
      signal,
      onProgress,
    });
    if (found.digest === digest && found.size === size) return;
    const text = `it has digest ${found.digest} and ${found.size} bytes, announced were ${size}`;
    throw new ImageError('digest-mismatch', `load blob ${digest} of ${JSON.stringify(this.#path)}: ${text}`);
  }

  /** Digest and size of a file. */
  async hash(name: string, signal?: AbortSignal): Promise<{ digest: string; size: number }> {
    return this.#withFile(name, (file) =>
      this.#pool.run({ job: 'hash', path: file }, signal === undefined ? {} : { signal }),
    );
  }

  /** A small file, undefined when it is missing. @throws ImageError */
  read(name: string): Buffer | undefined {
    const fd = openBeneath(this.#rootFd, Buffer.from(name).toString('latin1'));
    if (fd < 0) {
      const error = this.#openError(name, -fd);
      if (isCode(error, 'not-found')) return undefined;
      throw error;
    }
    try {
      const { size } = fstatSync(fd);
      if (size > maxManifestBytes) throw this.#invalid(name, `it has ${size} bytes`);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#rootFd);
  }

  #hash(name: string, path: string, options: FetchOptions): Promise<{ digest: string; size: number }> {
    return this.#withFile(name, (file) => {
      if (!this.#isOurs) return this.#pool.run({ job: 'hash', path, from: file }, options);
      linkSync(readlinkSync(file), path);
      return this.#pool.run({ job: 'hash', path }, options);
    });
  }

  async #withFile<T>(name: string, use: (path: string) => Promise<T>): Promise<T> {
    const fd = openBeneath(this.#rootFd, Buffer.from(name).toString('latin1'));
    if (fd < 0) throw this.#openError(name, -fd);
    try {
      if (!fstatSync(fd).isFile()) throw this.#invalid(name, 'it is not a file');
      return await use(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  }

  #openError(name: string, errno: number): ImageError {
    const cause = new SyscallError('openat2', errno, name);
    const text = `open ${JSON.stringify(name)} in ${JSON.stringify(this.#path)}: ${cause.code}`;
    if (cause.code === 'EXDEV') return new ImageError('unsafe-path', `${text}: a link leads out`, { cause });
    return new ImageError(cause.code === 'ENOENT' ? 'not-found' : 'invalid-archive', text, { cause });
  }

  #invalid(name: string, cause: string): ImageError {
    const what = `read ${JSON.stringify(name)} in ${JSON.stringify(this.#path)}`;
    return new ImageError('invalid-archive', `${what}: ${cause}`);
  }
}
