import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SyscallError } from './errors.ts';
import { libcTry } from './libc.ts';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/** A held flock(2) lock; dispose to release. */
export class FileLock implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Takes the lock on `path` or returns undefined when somebody else holds it.
   * @param options.existing not made when missing, and opened for reading: a namespace, say
   */
  static try(path: string, { shared = false, mode = 0o600, existing = false } = {}): FileLock | undefined {
    const fd = openSync(path, existing ? 'r' : 'a+', mode);
    const result = libcTry('flock', fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
    if (result === 0) return new FileLock(fd);
    closeSync(fd);
    if (result !== -EWOULDBLOCK) throw new SyscallError('flock', -result, path);
    return undefined;
  }

  /** Takes the lock, waiting for its holder; other processes that use flock(2) take part. @throws the signal's reason */
  static async acquire(
    path: string,
    { signal, ...options }: { mode?: number; existing?: boolean; signal?: AbortSignal } = {},
  ): Promise<FileLock> {
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 20)) {
      signal?.throwIfAborted();
      const lock = FileLock.try(path, options);
      if (lock !== undefined) return lock;
      await sleep(waitMs * (0.5 + Math.random()), undefined, signal === undefined ? {} : { signal });
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
