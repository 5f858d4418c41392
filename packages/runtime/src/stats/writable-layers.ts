import { nowNs } from '../clock.ts';
import { type LayerSize, measureLayer } from './layer-size.ts';

/** A measurement is used for this long at least. */
const freshMs = 10_000;
/** And for this many times as long as it took, so that large layers cost at most 2 % of a core. */
const restFactor = 50;

interface Entry {
  dir: string;
  /** The last measurement. */
  size?: (LayerSize & { atNs: bigint }) | undefined;
  dueMs: number;
  queued: boolean;
}

/**
 * The sizes of writable layers, measured one after another in the background and only while somebody asks for them.
 * Callers get the last figure.
 */
export class WritableLayers implements Disposable {
  readonly #entries = new Map<string, Entry>();
  readonly #queue: string[] = [];
  readonly #onFailure: (id: string, error: unknown) => void;
  readonly #stop = new AbortController();
  #running = false;
  #measured = Promise.withResolvers<void>();

  constructor(onFailure: (id: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** The last figure of the layer in `dir`, undefined before the first; has an old one measured again. */
  get(id: string, dir: string): (LayerSize & { atNs: bigint }) | undefined {
    const entry = this.#entries.get(id) ?? { dir, dueMs: 0, queued: false };
    this.#entries.set(id, entry);
    if (!entry.queued && performance.now() >= entry.dueMs) {
      entry.queued = true;
      this.#queue.push(id);
      if (!this.#running) void this.#run();
    }
    return entry.size;
  }

  /** Waits until every layer that was asked for was measured once, at most `timeoutMs`. */
  async settled(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while ([...this.#entries.values()].some(({ queued, size }) => queued && size === undefined)) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, leftMs);
      await Promise.race([promise, this.#measured.promise]);
      clearTimeout(timer);
    }
  }

  forget(id: string): void {
    this.#entries.delete(id);
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let id = this.#queue.shift(); id !== undefined; id = this.#queue.shift()) await this.#measure(id);
    this.#running = false;
  }

  async #measure(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const startedMs = performance.now();
    try {
      entry.size = { ...(await measureLayer(entry.dir, this.#stop.signal)), atNs: nowNs() };
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#onFailure(id, error);
    }
    const tookMs = performance.now() - startedMs;
    entry.dueMs = performance.now() + Math.max(freshMs, tookMs * restFactor);
    entry.queued = false;
    this.#measured.resolve();
    this.#measured = Promise.withResolvers<void>();
  }

  [Symbol.dispose](): void {
    this.#queue.length = 0;
    this.#stop.abort();
  }
}
