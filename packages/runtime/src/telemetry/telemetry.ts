import { AsyncLocalStorage } from 'node:async_hooks';

/** A piece of a call that is over; times in milliseconds of `performance.now()`. */
export interface Step {
  /** `run-pod-sandbox.network`, `cni bridge ADD`. */
  name: string;
  startMs: number;
  endMs: number;
  error?: string;
}

/** One call of CRI as metrics or traces see it. */
export interface CallObserver {
  step(step: Step): void;
  /** @param code name of the gRPC status: `OK`, `NOT_FOUND` */
  end(code: string, message?: string): void;
}

export interface CallStart {
  /** `RunPodSandbox` */
  method: string;
  /** `runtime.v1.RuntimeService` */
  service: string;
  /** The client's trace, as in the header of that name (W3C Trace Context). */
  traceparent?: string | undefined;
}

/** What is told of calls: metrics, traces. */
export interface Observer {
  begin(call: CallStart): CallObserver;
}

/** A call under way. */
export interface ObservedCall {
  /** Runs the handler; steps that are done in it, at whatever depth, belong to this call. */
  run<T>(work: () => T): T;
  end(code: string, message?: string): void;
}

interface CallState {
  observers: CallObserver[];
  lastStepMs: number;
}

/** Tells the observers of calls and of their steps; costs nothing while there are none. */
export class Telemetry {
  readonly #observers: Observer[] = [];
  readonly #current = new AsyncLocalStorage<CallState>();

  /** For calls that begin from now on. */
  add(observer: Observer): void {
    this.#observers.push(observer);
  }

  begin(start: CallStart): ObservedCall {
    if (this.#observers.length === 0) return unobserved;
    const state = {
      observers: this.#observers.map((observer) => observer.begin(start)),
      lastStepMs: performance.now(),
    };
    return {
      run: (work) => this.#current.run(state, work),
      end: (code, message) => {
        for (const observer of state.observers) observer.end(code, message);
      },
    };
  }

  /** The step that began when the one before it ended is done. Outside a call, such as at the start, it is nobody's. */
  stepDone(name: string): void {
    const state = this.#current.getStore();
    if (state === undefined) return;
    const endMs = performance.now();
    const step = { name, startMs: state.lastStepMs, endMs };
    state.lastStepMs = endMs;
    for (const observer of state.observers) observer.step(step);
  }

  /** A piece of work inside a step. */
  workDone(step: Step): void {
    for (const observer of this.#current.getStore()?.observers ?? []) observer.step(step);
  }
}

const unobserved: ObservedCall = { run: (work) => work(), end: () => {} };
