import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Brings new files, and the names they were given, to the disk without anybody waiting: one after another on one thread of
 * the pool, those that were removed meanwhile not at all. A file system that cannot sync is not an error here: nobody is
 * left to be told.
 */
export class BackgroundSync {
  readonly #paths = new Set<string>();
  #work: Promise<void> | undefined;

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
      await syncQuietly(path, constants.O_RDONLY);
    }
    for (const dir of dirs) await syncQuietly(dir, constants.O_DIRECTORY);
    this.#work = this.#paths.size > 0 ? this.#run() : undefined;
  }
}

async function syncQuietly(path: string, flags: number): Promise<void> {
  try {
    await using file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    await file.sync();
  } catch {
    // Gone, or not on a file system that syncs.
  }
}
