/** A map that remembers what there was before, for all that has changed since somebody asked. */
export class TrackedMap<K, V> implements ReadonlyTrackedMap<K, V> {
  readonly #values = new Map<K, V>();
  #before = new Map<K, V | undefined>();

  get size(): number {
    return this.#values.size;
  }

  get hasChanges(): boolean {
    return this.#before.size > 0;
  }

  get(key: K): V | undefined {
    return this.#values.get(key);
  }

  values(): Iterable<V> {
    return this.#values.values();
  }

  set(key: K, value: V): void {
    this.#remember(key);
    this.#values.set(key, value);
  }

  delete(key: K): void {
    if (!this.#values.has(key)) return;
    this.#remember(key);
    this.#values.delete(key);
  }

  takeChanges(): Map<K, V | undefined> {
    const before = this.#before;
    this.#before = new Map();
    return before;
  }

  #remember(key: K): void {
    if (!this.#before.has(key)) this.#before.set(key, this.#values.get(key));
  }
}

/** For those who make the kernel so. */
export interface ReadonlyTrackedMap<K, V> {
  readonly size: number;
  /** There is something to take. */
  readonly hasChanges: boolean;
  get(key: K): V | undefined;
  values(): Iterable<V>;
  /** What there was before the first change since the last call, by key; undefined for what is new. */
  takeChanges(): Map<K, V | undefined>;
}
