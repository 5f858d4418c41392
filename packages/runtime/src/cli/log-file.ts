import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { LogParser, type LogRecord, parseLogLine } from './cri-log.ts';
import { isCode } from './errors.ts';

const NEWLINE = 0x0a;

export interface ReadLogOptions {
  /** Start with the last so many lines of the program's output. */
  tail?: number;
  /**
   * Go on waiting for records. Asked each time the file has been read to its end; the answer false ends the reading
   * after one more look, so that what was written before the container ended is not missed.
   */
  follow?: () => Promise<boolean>;
  /** How long to wait at most between two looks while following. */
  pollMs?: number;
  signal?: AbortSignal;
}

/**
 * Reads a container's log file, in portions of at least one record. While following, a file that was renamed and
 * replaced (as the kubelet's rotation does) is read to its end before the new one, and one that was cut starts over.
 */
export async function* readLog(path: string, options: ReadLogOptions = {}): AsyncGenerator<LogRecord[]> {
  const { follow, pollMs = 250, signal } = options;
  await using file = new FollowedFile(path, follow === undefined ? undefined : signal);
  await file.open({ wait: follow !== undefined });
  if (options.tail !== undefined) await file.seekToTail(options.tail);
  // A container that has just started may end at once: look soon, then less and less often.
  let waitMs = Math.min(20, pollMs);
  for (let last = false; ; ) {
    yield* file.records();
    if (follow === undefined || signal?.aborted) return;
    if (await file.advance()) continue;
    if (last) return;
    if (await file.changed(waitMs)) continue;
    last = !(await follow());
    waitMs = Math.min(waitMs * 2, pollMs);
  }
}

/** The file under a path that may become another file. */
class FollowedFile implements AsyncDisposable {
  readonly #path: string;
  #handle: FileHandle | undefined;
  #position = 0;
  #parser = new LogParser();
  #watcher: FSWatcher | undefined;
  /** Something happened since the last call of changed(). */
  #touched = false;
  #wake: () => void = () => {};
  readonly #signal: AbortSignal | undefined;
  readonly #touch = () => {
    this.#touched = true;
    this.#wake();
  };

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#touch);
  }

  /** With `wait`, a file that is not there yet is waited for a moment. */
  async open({ wait }: { wait: boolean }): Promise<void> {
    for (let tries = wait ? 100 : 0; ; tries--) {
      try {
        this.#handle = await open(this.#path, 'r');
        return;
      } catch (error) {
        if (tries <= 0 || this.#signal?.aborted || !isCode(error, 'ENOENT')) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async seekToTail(lines: number): Promise<void> {
    this.#position = await tailOffset(this.#handle!, lines);
  }

  async *records(): AsyncGenerator<LogRecord[]> {
    for (;;) {
      // A new buffer each time: the records are views into it.
      const buffer = Buffer.allocUnsafe(65_536);
      const { bytesRead } = await this.#handle!.read(buffer, 0, buffer.length, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      const records = this.#parser.push(buffer.subarray(0, bytesRead));
      if (records.length > 0) yield records;
    }
  }

  /** Looks whether there is something to read: more of this file, or a new file in its place. */
  async advance(): Promise<boolean> {
    // In this order: once another file has the name, nothing more is written to this one.
    const named = await stat(this.#path).catch(() => undefined);
    const current = await this.#handle!.stat();
    if (current.size > this.#position) return true;
    if (current.size < this.#position) {
      this.#restart();
      return true;
    }
    if (named === undefined || (named.ino === current.ino && named.dev === current.dev)) return false;
    await this.#handle!.close();
    this.#handle = await open(this.#path, 'r');
    this.#restart();
    return true;
  }

  #restart(): void {
    this.#position = 0;
    this.#parser = new LogParser();
  }

  /** True as soon as something has happened to the file since the last call, false after `waitMs`. */
  async changed(waitMs: number): Promise<boolean> {
    // The directory is watched, for a file alone does not tell that it has been replaced.
    this.#watcher ??= watch(dirname(this.#path), { persistent: false }, (_event, name) => {
      if (name === null || name === basename(this.#path)) this.#touch();
    });
    if (!this.#touched) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const touched = this.#touched;
    this.#touched = false;
    return touched;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#touch);
    this.#watcher?.close();
    await this.#handle?.close();
  }
}

/** Where the last `lines` lines of output begin; reads backwards, so that a large file costs no more than its end. */
async function tailOffset(file: FileHandle, lines: number): Promise<number> {
  let position = (await file.stat()).size;
  let carry: Buffer = Buffer.alloc(0);
  let ends = 0;
  while (position > 0) {
    const length = Math.min(65_536, position);
    position -= length;
    const { buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position);
    const bytes = Buffer.concat([buffer, carry]);
    // What stands before the first newline began in an earlier block, unless there is none.
    const first = position === 0 ? 0 : bytes.indexOf(NEWLINE) + 1;
    for (let end = bytes.lastIndexOf(NEWLINE); end >= first; ) {
      const start = end === 0 ? 0 : bytes.lastIndexOf(NEWLINE, end - 1) + 1;
      // A line ends with its full record; output that stopped in the middle of a line is a line too.
      const partial = parseLogLine(bytes.subarray(start, end))?.partial ?? true;
      if (!partial || ends === 0) ends++;
      if (ends > lines) return position + end + 1;
      end = start - 1;
    }
    carry = first === 0 ? bytes : bytes.subarray(0, first);
  }
  return 0;
}
