import { nowNs } from './clock.ts';
import type { Container, Sandbox } from './store/records.ts';

export type LifecycleEventType = 'created' | 'started' | 'stopped' | 'deleted';

/** What happened to a container, or to a pod when there is no container. */
export interface LifecycleEvent {
  type: LifecycleEventType;
  sandboxId: string;
  containerId: string | undefined;
  /** Nanoseconds since 1970. */
  atNs: bigint;
}

export interface EventListener {
  /** Called at once, while the records are as the event says; must not throw. */
  onEvent(event: LifecycleEvent): void;
  /** Nothing more will come: the daemon stops. */
  onEnd(): void;
}

/** Tells subscribers what happens to pods and containers, in the order in which it happens. */
export class Events {
  readonly #listeners = new Set<EventListener>();

  subscribe(listener: EventListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  sandbox(type: LifecycleEventType, { id }: Sandbox): void {
    this.#publish({ type, sandboxId: id, containerId: undefined, atNs: nowNs() });
  }

  container(type: LifecycleEventType, { id, sandboxId }: Container): void {
    this.#publish({ type, sandboxId, containerId: id, atNs: nowNs() });
  }

  end(): void {
    for (const listener of [...this.#listeners]) listener.onEnd();
  }

  #publish(event: LifecycleEvent): void {
    for (const listener of [...this.#listeners]) listener.onEvent(event);
  }
}
