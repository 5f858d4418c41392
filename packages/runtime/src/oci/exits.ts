import { type FSWatcher, mkdirSync, readFileSync, rmSync, statSync, watch } from 'node:fs';
import { isCode } from '@amphipod/linux';

export interface ExitReport {
  /** 0–255; 128 + signal when a signal ended the process. */
  exitCode: number;
  /** When conmon wrote the report, nanoseconds since 1970. */
  finishedAtNs: bigint;
}

/** The directory where conmon leaves a file for each container that ended, whether the daemon lives or not. */
export class ExitDirectory implements Disposable {
  readonly path: string;
  #watcher: FSWatcher | undefined;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** Calls `onExit` with the name of each new report. Names of conmon's temporary files come along: ask {@link read}. */
  watch(onExit: (containerId: string) => void): void {
    this.#watcher = watch(this.path, (_, name) => {
      if (name !== null) onExit(name);
    });
  }

  /** The report of one container; undefined while there is none. */
  read(containerId: string): ExitReport | undefined {
    try {
      const path = `${this.path}/${containerId}`;
      const text = readFileSync(path, 'latin1');
      const exitCode = Number.parseInt(text, 10);
      if (Number.isNaN(exitCode)) return undefined;
      return { exitCode, finishedAtNs: statSync(path, { bigint: true }).mtimeNs };
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  forget(containerId: string): void {
    rmSync(`${this.path}/${containerId}`, { force: true });
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}
