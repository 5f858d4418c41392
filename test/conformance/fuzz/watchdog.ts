import { Worker } from 'node:worker_threads';

/** Ends the process when a case takes too long, saying which one: a loop without an end could not be told otherwise. */
export class Watchdog implements Disposable {
  readonly #label = new SharedArrayBuffer(256);
  readonly #worker: Worker;

  constructor(limitMs: number) {
    this.#worker = new Worker(new URL('watchdog-worker.ts', import.meta.url), {
      workerData: { label: this.#label, limitMs },
    });
    this.#worker.unref();
  }

  /** Begins a case. */
  begin(name: string, caseNumber: number): void {
    const bytes = new Uint8Array(this.#label);
    bytes.fill(0);
    new TextEncoder().encodeInto(`${name} ${caseNumber}`, bytes);
  }

  [Symbol.dispose](): void {
    void this.#worker.terminate();
  }
}
