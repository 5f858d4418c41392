import type { Readable, Writable } from 'node:stream';
import { outputEnd } from '../oci/output-end.ts';

/** What a command writes, on its way to the client; pauses the command while the client does not take it. */
export class OutputCopy implements Disposable {
  readonly #source: Readable;
  readonly #sink: Writable;
  #isWaiting = false;

  /** Destroys the source when the sink breaks: the command gets EPIPE, or SIGHUP of its terminal. */
  constructor(source: Readable, sink: Writable) {
    this.#source = source;
    this.#sink = sink;
    source.on('error', () => {});
    source.on('data', (bytes: Buffer) => this.write(bytes));
    sink.on('drain', () => {
      this.#isWaiting = false;
      source.resume();
    });
    if (sink.destroyed) source.destroy();
    sink.once('close', () => source.destroy());
  }

  write(bytes: Buffer): void {
    if (this.#sink.destroyed || this.#sink.write(bytes)) return;
    this.#isWaiting = true;
    this.#source.pause();
  }

  /** Resolves when all that the command, which has ended, wrote is handed over. */
  async drained(): Promise<void> {
    await outputEnd(this.#source, () => this.#isWaiting);
  }

  [Symbol.dispose](): void {
    this.#source.destroy();
  }
}
