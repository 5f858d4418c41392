import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a command's output must be silent after its end, when somebody else still holds it open. */
const silenceMs = 100;

/** What a command writes, on its way to the client; pauses the command while the client does not take it. */
export class OutputCopy implements Disposable {
  readonly #source: Readable;
  readonly #sink: Writable;
  #lastDataAt = 0;
  #ended = false;
  #isWaiting = false;

  /** Destroys the source when the sink breaks: the command gets EPIPE, or SIGHUP of its terminal. */
  constructor(source: Readable, sink: Writable) {
    this.#source = source;
    this.#sink = sink;
    source.on('error', () => {});
    source.once('close', () => {
      this.#ended = true;
    });
    source.on('data', (bytes: Buffer) => this.write(bytes));
    sink.on('drain', () => {
      this.#isWaiting = false;
      this.#lastDataAt = performance.now();
      source.resume();
    });
    if (sink.destroyed) source.destroy();
    sink.once('close', () => source.destroy());
  }

  write(bytes: Buffer): void {
    this.#lastDataAt = performance.now();
    if (this.#sink.destroyed || this.#sink.write(bytes)) return;
    this.#isWaiting = true;
    this.#source.pause();
  }

  /**
   * Resolves when all that the command wrote is handed over: at the end of its output or, when a process in the
   * background holds that open, as soon as nothing more comes.
   */
  async drained(): Promise<void> {
    this.#lastDataAt = performance.now();
    while (!this.#ended && (this.#isWaiting || performance.now() - this.#lastDataAt < silenceMs)) {
      const closed = new AbortController();
      const onClose = () => closed.abort();
      this.#source.once('close', onClose);
      await sleep(silenceMs / 5, undefined, { signal: closed.signal }).catch(() => {});
      this.#source.off('close', onClose);
    }
  }

  [Symbol.dispose](): void {
    this.#source.destroy();
  }
}
