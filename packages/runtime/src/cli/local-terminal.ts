import type { WriteStream } from 'node:tty';
import { rawTerminal, type TerminalSize } from '@amphipod/linux';

/** Our own terminal while a remote one is shown on it: raw, so that every key goes there. */
export class LocalTerminal implements Disposable {
  readonly #raw: Disposable;
  readonly #output: WriteStream;
  #onResize: (() => void) | undefined;

  /** Undefined when input and output are not both a terminal. */
  static open(input: NodeJS.ReadStream, output: NodeJS.WritableStream): LocalTerminal | undefined {
    if (!input.isTTY || !(output as WriteStream).isTTY) return undefined;
    return new LocalTerminal(input, output as WriteStream);
  }

  private constructor(input: NodeJS.ReadStream & { fd?: number }, output: WriteStream) {
    this.#output = output;
    this.#raw = rawTerminal(input.fd ?? 0);
  }

  /** Calls `onSize` with the size now and whenever it changes (SIGWINCH). */
  follow(onSize: (size: TerminalSize) => void): void {
    this.#onResize = () => onSize({ rows: this.#output.rows, columns: this.#output.columns });
    this.#output.on('resize', this.#onResize);
    this.#onResize();
  }

  [Symbol.dispose](): void {
    if (this.#onResize !== undefined) this.#output.off('resize', this.#onResize);
    this.#raw[Symbol.dispose]();
  }
}
