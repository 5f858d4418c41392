/** Whose figures: this project's daemon, or the program it is compared with. */
export type Side = 'ours' | 'peer';

/** Measured values of one row, for each side. */
export interface Row {
  name: string;
  unit: 'ms' | 'MiB' | 'pods/s' | '%';
  ours: number[];
  peer: number[];
}

/** Collects samples by row name, in the order in which rows first appear. */
export class Samples {
  readonly #rows = new Map<string, Row>();

  add(name: string, side: Side, value: number, unit: Row['unit'] = 'ms'): void {
    const row = this.#rows.get(name) ?? { name, unit, ours: [], peer: [] };
    this.#rows.set(name, row);
    row[side].push(value);
  }

  rows(): Row[] {
    return [...this.#rows.values()];
  }
}

/** Milliseconds that `work` takes, with its result. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}
