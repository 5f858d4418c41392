import { setTimeout as delay } from 'node:timers/promises';
import { FabricError } from '../errors.ts';
import { leaseTtlSeconds } from './acquire-lease.ts';
import { KernelKeeper } from './kernel-keeper.ts';
import { formatAttributes, type Lease, leaseName } from './lease.ts';
import type { LeasesEvent, OwnLease } from './lease-store.ts';
import type { Overlay, OverlayOptions } from './overlay-types.ts';
import { ownAttributes } from './own-attributes.ts';
import { overlayMtu, type PassedOver, WantedState } from './wanted-state.ts';

const RETRY_MS = 1_000;
const RENEW_RETRY_MS = 60_000;

/** Acquires a lease, sets the overlay up, and then keeps it. @throws as {@link LeaseStore.acquire}; NetlinkError */
export async function startOverlay(options: OverlayOptions): Promise<Overlay> {
  const { leases, config, previous } = options;
  const attributes = ownAttributes(options);
  const own = await leases.acquire(config, { attributes, ...(previous && { previous }) });
  options.onRenewed?.();
  const keeper = new OverlayKeeper(options, own);
  await keeper.start();
  return keeper;
}

class OverlayKeeper implements Overlay {
  readonly #options: OverlayOptions;
  readonly #stop = new AbortController();
  readonly #wanted: WantedState;
  readonly #kernel: KernelKeeper;
  #own: OwnLease;
  #tasks: Promise<void> = Promise.resolve();
  readonly #end = Promise.withResolvers<void>();

  constructor(options: OverlayOptions, own: OwnLease) {
    this.#options = options;
    this.#own = own;
    this.#wanted = new WantedState({ ...options, own: own.lease, ownId: own.id });
    const { kernel: view, underlay, onSync, onError } = options;
    const { signal } = this.#stop;
    this.#kernel = new KernelKeeper({ view, wanted: this.#wanted, underlay, onSync, onError, signal });
    // Whoever does not look at `ended` must not be ended by it.
    this.#end.promise.catch(() => {});
  }

  get lease(): Lease {
    return this.#own.lease;
  }

  get mtu(): number {
    return overlayMtu(this.#options);
  }

  get passedOver(): readonly PassedOver[] {
    return this.#wanted.passedOver();
  }

  get wanted(): WantedState {
    return this.#wanted;
  }

  get expires(): boolean {
    return this.#own.expires;
  }

  get ended(): Promise<void> {
    return this.#end.promise;
  }

  async start(): Promise<void> {
    const { signal } = this.#stop;
    const snapshot = await this.#options.leases.list({ signal });
    this.#learn({ type: 'snapshot', ...snapshot });
    const { first, watching } = this.#kernel.start();
    const tasks = [watching, this.#watchLeases(snapshot.revision), this.#renew()].map((task) =>
      task.catch((error: unknown) => this.#fail(error)),
    );
    this.#tasks = Promise.all(tasks).then(() => {});
    try {
      await first;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#tasks;
    await this.#kernel.idle();
    this.#end.resolve();
  }

  resync(): void {
    this.#kernel.resync();
  }

  async release(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await this.#options.leases.release(this.#own);
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#end.reject(error);
    this.#stop.abort();
  }

  async #watchLeases(fromRevision: string): Promise<void> {
    const { leases, onConnection } = this.#options;
    const options = { fromRevision, signal: this.#stop.signal, ...(onConnection && { onConnection }) };
    for await (const event of leases.watch(options)) {
      this.#learn(event);
      if (this.#wanted.hasChanges) this.#kernel.applyChanges();
      if (!this.#hasOwn()) await this.#renewNow();
    }
  }

  #learn(event: LeasesEvent): void {
    if (event.type === 'changes') {
      for (const change of event.changes) {
        this.#wanted.set(change.id, change.type === 'put' ? change.lease : undefined);
      }
      return;
    }
    for (const id of [...this.#wanted.ids()]) if (!event.leases.has(id)) this.#wanted.set(id, undefined);
    for (const [id, lease] of event.leases) this.#wanted.set(id, lease);
  }

  /** True when the others are told of this node what they ought to be told. */
  #hasOwn(): boolean {
    const { id, lease } = this.#own;
    const there = this.#wanted.get(id);
    return there !== undefined && formatAttributes(there.attributes) === formatAttributes(lease.attributes);
  }

  async #renew(): Promise<void> {
    const { signal } = this.#stop;
    let waitMs = (leaseTtlSeconds * 1000) / 4;
    while (!signal.aborted) {
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      const isDone = await this.#tryRenew();
      waitMs = isDone ? (leaseTtlSeconds * 1000) / 4 : RENEW_RETRY_MS;
    }
  }

  async #renewNow(): Promise<void> {
    while (!(await this.#tryRenew()) && !this.#stop.signal.aborted) {
      await delay(RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** False when the store did not answer. @throws FabricError `lease-lost` */
  async #tryRenew(): Promise<boolean> {
    let renewed: OwnLease | undefined;
    try {
      renewed = await this.#options.leases.renew(this.#own, { signal: this.#stop.signal });
    } catch (error) {
      this.#report(error);
      return false;
    }
    if (renewed === undefined) {
      const name = leaseName(this.#own.lease);
      throw new FabricError(
        'lease-lost',
        `renew subnet lease ${JSON.stringify(name)}: the subnet is not this node's any more`,
      );
    }
    this.#own = renewed;
    this.#options.onRenewed?.();
    return true;
  }

  #report(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#options.onError?.(error);
  }
}
