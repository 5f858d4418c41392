import { CniError, toCniError } from '@amphipod/cni';

/** Steps of a DEL or GC: each is tried, whatever became of the others. */
export class Attempts {
  readonly #failures: CniError[] = [];

  async run(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#failures.push(toCniError(error));
    }
  }

  /** @throws CniError the one failure, or all of them in one */
  throwIfAny(): void {
    const [first, ...more] = this.#failures;
    if (first === undefined) return;
    if (more.length === 0) throw first;
    throw new CniError(first.number, this.#failures.map(({ message }) => message).join('; '), {
      errors: this.#failures,
      cause: first,
    });
  }
}
