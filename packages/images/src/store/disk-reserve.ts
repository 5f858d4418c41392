import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { isDiskFull, mayBeDiskFull } from '../errors.ts';

const files = 4;
const fileBytes = 256 * 1024;

/**
 * Space and inodes that are kept back for the database: to delete something it must write first, which a full disk refuses
 * (field case LIF-11).
 */
export class DiskReserve {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Runs a change of the database; when the disk is full, once more with the reserve given up for it. */
  use<T>(change: () => T): T {
    try {
      return change();
    } catch (error) {
      if (!mayBeDiskFull(error) || !this.#giveUp()) throw error;
      return change();
    }
  }

  /** Takes the reserve back where there is room again. */
  refill(): void {
    try {
      mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
      const present = new Set(readdirSync(this.#dir));
      for (let i = 0; i < files; i++) {
        // Random: a file system that compresses would keep nothing back for zeros.
        if (!present.has(String(i)))
          writeFileSync(`${this.#dir}/${i}`, randomBytes(fileBytes), { mode: 0o600 });
      }
    } catch (error) {
      // Still full: a part of the reserve is no use, and the space has better ones.
      if (isDiskFull(error)) this.#giveUp();
      else throw error;
    }
  }

  #giveUp(): boolean {
    try {
      for (const name of readdirSync(this.#dir)) rmSync(`${this.#dir}/${name}`, { force: true });
      return true;
    } catch {
      return false;
    }
  }
}
