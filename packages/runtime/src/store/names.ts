import { CriError } from '../errors.ts';

interface Reservation {
  id: string;
  since: Date;
  /** What is being done under this name now; undefined once the work is over. */
  step?: string | undefined;
}

/**
 * Names of pods and containers: one owner at a time. A second taker learns who owns the name or, while the owner is
 * still being made, since when and at which step (field case LIF-04).
 */
export class NameRegistry {
  readonly #kind: string;
  readonly #names = new Map<string, Reservation>();

  constructor(kind: 'sandbox' | 'container') {
    this.#kind = kind;
  }

  /** @throws CriError already-exists, or aborted while the owner is being made */
  reserve(name: string, id: string, step?: string): void {
    const taken = this.#names.get(name);
    if (taken === undefined) {
      this.#names.set(name, { id, since: new Date(), step });
      return;
    }
    const subject = `reserve ${this.#kind} name ${JSON.stringify(name)}`;
    if (taken.step === undefined) throw new CriError('already-exists', `${subject}: taken by ${taken.id}`);
    throw new CriError(
      'aborted',
      `${subject}: in progress since ${taken.since.toISOString()} at step "${taken.step}" as ${taken.id}`,
    );
  }

  /** Notes the step that the maker of this name is at; undefined when it is done. */
  setStep(name: string, step: string | undefined): void {
    const taken = this.#names.get(name);
    if (taken !== undefined) taken.step = step;
  }

  release(name: string): void {
    this.#names.delete(name);
  }
}
