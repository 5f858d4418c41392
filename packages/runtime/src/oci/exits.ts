import { type FSWatcher, mkdirSync, readdirSync, readFileSync, rmSync, statSync, watch } from 'node:fs';
import { isCode } from '@amphipod/linux';

export interface ExitReport {
  /** 0–255; 128 + signal when a signal ended the process. */
  exitCode: number;
  /** When conmon wrote the report, nanoseconds since 1970. */
  finishedAtNs: bigint;
}

/**
 * The directory where conmon leaves a file for each container that ended, whether the daemon lives or not, and those
 * who wait in the daemon for such an end to be recorded.
 */
export class ExitDirectory implements Disposable {
  readonly path: string;
  #watcher: FSWatcher | undefined;
  readonly #waiters = new Map<string, Set<() => void>>();

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** Calls `onExit` with the name of each new report. Names of conmon's temporary files come along: ask {@link read}. */
  watch(onExit: (id: string) => void): void {
    this.#watcher = watch(this.path, (_, name) => {
      if (name !== null) onExit(name);
    });
  }

  list(): string[] {
    return readdirSync(this.path);
  }

  /** The report of one container; undefined while there is none. */
  read(id: string): ExitReport | undefined {
    try {
      const path = `${this.path}/${id}`;
      const exitCode = Number.parseInt(readFileSync(path, 'latin1'), 10);
      if (Number.isNaN(exitCode)) return undefined;
      return { exitCode, finishedAtNs: statSync(path, { bigint: true }).mtimeNs };
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  forget(id: string): void {
    rmSync(`${this.path}/${id}`, { force: true });
  }

  /** Wakes those who wait for the end of `id`: it is recorded now. */
  announce(id: string): void {
    for (const wake of this.#waiters.get(id) ?? []) wake();
    this.#waiters.delete(id);
  }

  /** Resolves when the end of `id` is announced, after `timeoutMs`, or on `signal`. */
  async wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters.add(resolve));
    const timer = setTimeout(resolve, timeoutMs);
    const onAbort = () => resolve();
    signal?.addEventListener('abort', onAbort);
    await promise;
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    waiters.delete(resolve);
    if (waiters.size === 0 && this.#waiters.get(id) === waiters) this.#waiters.delete(id);
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}
