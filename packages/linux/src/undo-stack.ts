import { isCode } from './errors.ts';

type Undo = (signal: AbortSignal) => void | Promise<void>;

/**
 * What to undo if a piece of work fails. Register before the act; `commit()` when all is done; otherwise leaving the
 * scope of `await using` undoes everything, last in first out, going on after failures, within a time limit of its own.
 */
export class UndoStack implements AsyncDisposable {
  readonly #steps: { what: string; undo: Undo }[] = [];
  readonly #timeoutMs: number;
  readonly #onFailure: (what: string, error: unknown) => void;

  /** @param onFailure told of each undo that failed, so that a record of what is left can be kept */
  constructor(onFailure: (what: string, error: unknown) => void, { timeoutMs = 60_000 } = {}) {
    this.#onFailure = onFailure;
    this.#timeoutMs = timeoutMs;
  }

  /** `what` reads after "undo": "detach network", "remove directory". */
  defer(what: string, undo: Undo): void {
    this.#steps.push({ what, undo });
  }

  /** All is well: nothing is undone any more. */
  commit(): void {
    this.#steps.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#steps.length === 0) return;
    const signal = AbortSignal.timeout(this.#timeoutMs);
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo(signal);
      } catch (error) {
        if (!isCode(error, 'ENOENT')) this.#onFailure(step.what, error);
      }
    }
  }
}
