/** Work whose caller is gone and that is not finished or undone yet. Those who come for the same thing wait for it. */
export class Orphans {
  readonly #pending = new Map<string, Promise<unknown>>();

  /** @param work must not reject */
  add(key: string, work: Promise<unknown>): void {
    const all = Promise.all([this.#pending.get(key), work]).finally(() => {
      if (this.#pending.get(key) === all) this.#pending.delete(key);
    });
    this.#pending.set(key, all);
  }

  /** Resolves when nothing of this key is pending. */
  async settled(key: string): Promise<void> {
    for (let work = this.#pending.get(key); work !== undefined; work = this.#pending.get(key)) await work;
  }
}
