/**
 * Who may run when: operations on one container one after another, a GC alone. In the order of the calls, so that
 * neither side starves.
 */
export class OperationLocks {
  #exclusive: Promise<unknown> = Promise.resolve();
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `operation` when no other one on this container and no exclusive one is under way. */
  shared<T>(containerID: string, operation: () => Promise<T>): Promise<T> {
    const before = Promise.all([this.#exclusive, this.#tails.get(containerID)]);
    const run = before.then(operation);
    const tail = settled(run).then(() => {
      if (this.#tails.get(containerID) === tail) this.#tails.delete(containerID);
    });
    this.#tails.set(containerID, tail);
    return run;
  }

  /** Runs `operation` when nothing else is under way; what comes later waits for it. */
  exclusive<T>(operation: () => Promise<T>): Promise<T> {
    const before = Promise.all([this.#exclusive, ...this.#tails.values()]);
    const run = before.then(operation);
    this.#exclusive = settled(run);
    return run;
  }
}

function settled(promise: Promise<unknown>): Promise<void> {
  return promise.then(
    () => {},
    () => {},
  );
}
