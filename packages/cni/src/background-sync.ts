import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Brings new files, and the names they were given, to the disk without anybody waiting: one after another on one thread of
 * the pool, those that were removed meanwhile not at all. A file system that cannot sync is not an error here: nobody is
 * left to be told.
 */
export class BackgroundSync {
  readonly #sync: (path: string) => Promise<void>;
  readonly #paths = new Set<string>();
  #work: Promise<void> | undefined;

  constructor(sync = syncQuietly) {
    this.#sync = sync;
  }

  add(path: string): void {
    this.#paths.add(path);
    this.#work ??= this.#run();
  }

  forget(path: string): void {
    this.#paths.delete(path);
  }

  /** Resolves when nothing is left to do. */
  async done(): Promise<void> {
    while (this.#work !== undefined) await this.#work;
  }

  async #run(): Promise<void> {
    // Not in the call that adds the first one, which is on the way of an ADD.
    await new Promise((resolve) => setImmediate(resolve));
    const dirs = new Set<string>();
    for (const path of this.#paths) {
      this.#paths.delete(path);
      dirs.add(dirname(path));
      await this.#sync(path);
    }
    for (const dir of dirs) await this.#sync(dir);
    this.#work = this.#paths.size > 0 ? this.#run() : undefined;
  }
}

async function syncQuietly(path: string): Promise<void> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    await file.sync();
  } catch {
    // Gone, or not on a file system that syncs.
  }
}
