import type { TerminalSize } from '@amphipod/linux';

/** Longer than any size; what has no end by then is none. */
const maxPendingChars = 1024;

/** The sizes of a client's terminal, as they come in: a stream of JSON objects `{"Width":80,"Height":24}`. */
export class TerminalSizes {
  #pending = '';
  #latest: TerminalSize | undefined;
  #listener: ((size: TerminalSize) => void) | undefined;

  /** Takes in more of the stream. Anything that is no size is passed over, as it is no reason to end a session. */
  receive(bytes: Buffer): void {
    this.#pending += bytes.toString('latin1');
    for (let end = this.#pending.indexOf('}'); end >= 0; end = this.#pending.indexOf('}')) {
      const size = parseSize(this.#pending.slice(0, end + 1));
      this.#pending = this.#pending.slice(end + 1);
      if (size === undefined) continue;
      this.#latest = size;
      this.#listener?.(size);
    }
    if (this.#pending.length > maxPendingChars) this.#pending = '';
  }

  /** The latest size; undefined when none has come. */
  get size(): TerminalSize | undefined {
    return this.#latest;
  }

  /** Calls `listener` with each size from now on, replacing an earlier listener. */
  listen(listener: ((size: TerminalSize) => void) | undefined): void {
    this.#listener = listener;
  }

  /** The first size; undefined when none has come after `timeoutMs`. A size that came earlier counts. */
  async first(timeoutMs: number): Promise<TerminalSize | undefined> {
    if (this.#latest !== undefined) return this.#latest;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.listen(() => resolve());
    await promise;
    clearTimeout(timer);
    this.listen(undefined);
    return this.#latest;
  }
}

function parseSize(text: string): TerminalSize | undefined {
  try {
    const { Width: columns, Height: rows } = JSON.parse(text) as Record<string, unknown>;
    return isSize(columns) && isSize(rows) ? { columns, rows } : undefined;
  } catch {
    return undefined;
  }
}

/** Half a struct winsize is 16 bits wide. */
function isSize(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536;
}
