interface Running<T, P> {
  promise: Promise<T>;
  controller: AbortController;
  waiters: number;
  listeners: Set<(progress: P) => void>;
}

export interface Joining<P> {
  signal?: AbortSignal;
  onProgress?: (progress: P) => void;
}

/**
 * Work that several callers may ask for at once and that is done once. It is given up when the last of them has
 * gone; when it fails, the others try for themselves, since the first may have failed by its own credentials. Not so with
 * `failsForAll`, where callers of the same key are alike.
 */
export class SharedTasks<T, P = never> {
  readonly #running = new Map<string, Running<T, P>>();
  readonly #failsForAll: boolean;

  constructor({ failsForAll = false } = {}) {
    this.#failsForAll = failsForAll;
  }

  async run(
    key: string,
    joining: Joining<P>,
    start: (signal: AbortSignal, onProgress: (progress: P) => void) => Promise<T>,
  ): Promise<T> {
    joining.signal?.throwIfAborted();
    const running = this.#running.get(key);
    if (running === undefined) return this.#wait(this.#start(key, start), joining);
    try {
      return await this.#wait(running, joining);
    } catch (error) {
      joining.signal?.throwIfAborted();
      // One that was being given up when we came is none of our failures.
      if (this.#failsForAll && !running.controller.signal.aborted) throw error;
      // Whoever comes first starts anew, the others join; what fails then fails for all.
      return this.#wait(this.#running.get(key) ?? this.#start(key, start), joining);
    }
  }

  #start(
    key: string,
    start: (signal: AbortSignal, onProgress: (progress: P) => void) => Promise<T>,
  ): Running<T, P> {
    const controller = new AbortController();
    const listeners = new Set<(progress: P) => void>();
    const promise = start(controller.signal, (progress) => {
      for (const listener of listeners) listener(progress);
    });
    const running: Running<T, P> = { promise, controller, waiters: 0, listeners };
    this.#running.set(key, running);
    const forget = () => {
      if (this.#running.get(key) === running) this.#running.delete(key);
    };
    promise.then(forget, forget);
    return running;
  }

  async #wait(running: Running<T, P>, { signal, onProgress }: Joining<P>): Promise<T> {
    running.waiters += 1;
    if (onProgress !== undefined) running.listeners.add(onProgress);
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await (signal === undefined
        ? running.promise
        : Promise.race([running.promise, aborted.promise]));
    } catch (error) {
      if (running.waiters > 1 || signal?.aborted !== true) throw error;
      running.controller.abort(signal.reason);
      // The last to go sees to it that nothing goes on behind everybody's back; what was done before it heard is done.
      return await running.promise.catch(() => {
        throw error;
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
      if (onProgress !== undefined) running.listeners.delete(onProgress);
      running.waiters -= 1;
    }
  }
}
