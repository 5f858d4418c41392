/** Runs functions with the same key one after another, in the order of the calls. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();
  #waiting = 0;

  /** Functions that wait for another one. */
  get waiting(): number {
    return this.#waiting;
  }

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise: done, resolve: release } = Promise.withResolvers<void>();
    const tail = before === undefined ? done : before.then(() => done);
    this.#tails.set(key, tail);
    if (before !== undefined) {
      this.#waiting++;
      await before;
      this.#waiting--;
    }
    try {
      return await work();
    } finally {
      release();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
