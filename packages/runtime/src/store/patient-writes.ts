import { rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CriError } from '../errors.ts';

const reserveBytes = 256 * 1024;
const retryMs = 5000;

export interface PatientWritesOptions {
  /** A file that is kept beside the database to be given up for it; undefined: none. */
  reserve: string | undefined;
  /** Told once when writes must wait, and when all are done. */
  onChange?: (isWaiting: boolean) => void;
}

/**
 * Writes that a full disk only delays. What is in memory is true; on a full disk the reserve is given up, and if that is not
 * enough the write is done as soon as there is room. So stopping and removing, which make room, work (field case LIF-11).
 */
export class PatientWrites implements Disposable {
  readonly #options: PatientWritesOptions;
  readonly #waiting = new Map<string, () => void>();
  #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;

  constructor(options: PatientWritesOptions) {
    this.#options = options;
    this.#fillReserve();
  }

  /** Does a write that may wait. A later one under the same key takes its place. */
  write(key: string, work: () => void): void {
    // In order: what waits is older than this.
    this.#waiting.delete(key);
    this.#waiting.set(key, work);
    this.#flush();
  }

  /**
   * Does a write that may not wait: of something new.
   * @throws CriError resource-exhausted on a full disk
   */
  writeNow(work: () => void): void {
    this.#flush();
    if (this.#waiting.size > 0) {
      throw new CriError(
        'resource-exhausted',
        'save record: the disk is full, earlier changes wait for room',
      );
    }
    try {
      work();
    } catch (cause) {
      if (!this.#isDiskFull(cause)) throw cause;
      throw new CriError('resource-exhausted', 'save record: the disk is full', { cause });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#flush();
  }

  #flush(): void {
    const wasWaiting = this.#isWaiting;
    for (const [key, work] of this.#waiting) {
      this.#waiting.delete(key);
      if (this.#try(work)) continue;
      // Behind what was added meanwhile under another key, which does not matter: keys have nothing to do with each other.
      this.#waiting.set(key, work);
      this.#isWaiting = true;
      if (!wasWaiting) this.#options.onChange?.(true);
      return;
    }
    if (!wasWaiting) return;
    this.#isWaiting = false;
    this.#fillReserve();
    this.#options.onChange?.(false);
  }

  #giveReserveUp(): void {
    const { reserve } = this.#options;
    if (reserve !== undefined) rmSync(reserve, { force: true });
    this.#timer ??= setInterval(() => this.#retry(), retryMs).unref();
  }

  /** Until nothing waits and the reserve is whole. */
  #retry(): void {
    this.#flush();
    if (this.#isWaiting || !this.#fillReserve()) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #try(work: () => void): boolean {
    for (const isLast of [false, true]) {
      try {
        work();
        return true;
      } catch (error) {
        if (!this.#isDiskFull(error)) throw error;
        if (isLast) break;
        this.#giveReserveUp();
      }
    }
    return false;
  }

  /** SQLITE_FULL; or an I/O error of its index file, which has no code of its own for this. */
  #isDiskFull(error: unknown): boolean {
    const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
    if (code === SQLITE_FULL) return true;
    const { reserve } = this.#options;
    return code === SQLITE_IOERR && reserve !== undefined && statfsSync(dirname(reserve)).bavail === 0;
  }

  /** False where there is no room for it. */
  #fillReserve(): boolean {
    const { reserve } = this.#options;
    if (reserve === undefined || statSync(reserve, { throwIfNoEntry: false })?.size === reserveBytes)
      return true;
    try {
      // Not a hole: it must take the room that it is to give back.
      writeFileSync(reserve, Buffer.alloc(reserveBytes, 'reserve '), { mode: 0o600 });
      return true;
    } catch {
      rmSync(reserve, { force: true });
      return false;
    }
  }
}

// sqlite3.h
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
