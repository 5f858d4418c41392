/** Lets so many in at a time. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(size: number) {
    this.#free = size;
  }

  /** Runs `work` when there is room. @throws the signal's reason, at once also for who still waits */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (end: () => void) => () => {
      this.#waiting.delete(enter);
      signal?.removeEventListener('abort', leave);
      end();
    };
    const enter = settle(resolve);
    const leave = settle(() => reject(signal!.reason));
    this.#waiting.add(enter);
    signal?.addEventListener('abort', leave, { once: true });
    return promise;
  }
}

/** A {@link Semaphore} for each key, so that nobody waits for those of another. */
export class KeyedSemaphore {
  readonly #size: number;
  readonly #entries = new Map<string, { semaphore: Semaphore; users: number }>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Runs `work` when there is room for the key. @throws the signal's reason */
  async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const entry = this.#entries.get(key) ?? { semaphore: new Semaphore(this.#size), users: 0 };
    this.#entries.set(key, entry);
    entry.users += 1;
    try {
      return await entry.semaphore.run(work, signal);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) this.#entries.delete(key);
    }
  }
}
