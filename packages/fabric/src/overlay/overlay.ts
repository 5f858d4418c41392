import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { type MonitorEvent, monitor } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import { leaseTtlSeconds } from './acquire-lease.ts';
import { formatAttributes, type Lease, leaseName } from './lease.ts';
import type { LeasesEvent, OwnLease } from './lease-store.ts';
import type { Overlay, OverlayOptions } from './overlay-types.ts';
import { ownAttributes } from './own-attributes.ts';
import { areTunnelsUntouched, type EntryEvent, judgeEvent, syncChanges, syncKernel } from './sync-kernel.ts';
import { areRulesUntouched } from './sync-rules.ts';
import { overlayMtu, type PassedOver, WantedState } from './wanted-state.ts';

/** What somebody changes in the kernel at one time is mended at one time. */
const GATHER_MS = 5;
const RULES_CHECK_MS = 250;
const TUNNELS_CHECK_MS = 500;
/** Of the time at most one part in so many goes into looking at tunnels. */
const TUNNELS_CHECK_SHARE = 50;
const RESYNC_MS = 60_000;
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
  readonly #timers: NodeJS.Timeout[] = [];
  #own: OwnLease;
  #gathering: { timer: NodeJS.Timeout; dueAt: number } | undefined;
  #work: Promise<void> = Promise.resolve();
  #tasks: Promise<void> = Promise.resolve();
  /** What the next look is to see to, beside what leases have changed. */
  #isFullDue = true;
  #events: EntryEvent[] = [];
  #tunnelsDueAt = 0;
  readonly #end = Promise.withResolvers<void>();

  constructor(options: OverlayOptions, own: OwnLease) {
    this.#options = options;
    this.#own = own;
    this.#wanted = new WantedState({ ...options, own: own.lease, ownId: own.id });
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
    const { rtnl } = this.#options.kernel;
    const snapshot = await this.#options.leases.list({ signal });
    this.#learn({ type: 'snapshot', ...snapshot });
    // Listens before it looks.
    const kernelEvents = monitor(rtnl, ['link', 'address', 'route', 'neighbour', 'fdb'], { signal });
    const tasks = [this.#watchKernel(kernelEvents), this.#watchLeases(snapshot.revision), this.#renew()].map(
      (task) => task.catch((error: unknown) => this.#fail(error)),
    );
    this.#tasks = Promise.all(tasks).then(() => {});
    const first = this.#sync();
    // Only one at a time: deleting a link takes a while.
    this.#work = first.catch(() => {});
    try {
      await first;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    this.#timers.push(setInterval(() => this.#checkRules(), RULES_CHECK_MS));
    this.#timers.push(setInterval(() => this.resync(), RESYNC_MS));
    if (this.#wanted.tunnels.length > 0)
      this.#timers.push(setInterval(() => this.#checkTunnels(), TUNNELS_CHECK_MS));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#halt();
    await this.#tasks;
    await this.#work;
    this.#end.resolve();
  }

  resync(): void {
    this.#isFullDue = true;
    this.#touch(0);
  }

  async release(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await this.#options.leases.release(this.#own);
  }

  #halt(): void {
    this.#stop.abort();
    clearTimeout(this.#gathering?.timer);
    for (const timer of this.#timers) clearInterval(timer);
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#end.reject(error);
    this.#halt();
  }

  async #watchLeases(fromRevision: string): Promise<void> {
    const { leases, onConnection } = this.#options;
    const options = { fromRevision, signal: this.#stop.signal, ...(onConnection && { onConnection }) };
    for await (const event of leases.watch(options)) {
      this.#learn(event);
      if (this.#wanted.hasChanges) this.#touch(0);
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

  async #watchKernel(events: AsyncIterable<MonitorEvent>): Promise<void> {
    const { kernel: view, underlay } = this.#options;
    for await (const event of events) {
      const asked = judgeEvent(event, { view, state: this.#wanted, underlay });
      if (asked === undefined) continue;
      if (asked === 'all') this.#isFullDue = true;
      else this.#events.push(asked);
      this.#touch(GATHER_MS);
    }
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

  #checkRules(): void {
    const { kernel } = this.#options;
    try {
      if (kernel.writtenRules !== undefined && !areRulesUntouched(kernel.nft, kernel.writtenRules))
        this.#touch(0);
    } catch (error) {
      this.#report(error);
    }
  }

  #checkTunnels(): void {
    // What is due is seen to anyway; a device that is not there is told of.
    const start = performance.now();
    if (this.#isFullDue || this.#wanted.hasChanges || start < this.#tunnelsDueAt) return;
    try {
      if (!areTunnelsUntouched(this.#options.kernel, this.#wanted)) this.resync();
    } catch (error) {
      if (!isCode(error, 'ENODEV')) this.#report(error);
    }
    const end = performance.now();
    this.#tunnelsDueAt = end + TUNNELS_CHECK_SHARE * (end - start);
  }

  /** Has the kernel looked at in so many ms, or sooner if that was wanted before. */
  #touch(delayMs: number): void {
    if (this.#stop.signal.aborted) return;
    const dueAt = performance.now() + delayMs;
    if (this.#gathering !== undefined && this.#gathering.dueAt <= dueAt) return;
    clearTimeout(this.#gathering?.timer);
    const timer = setTimeout(() => {
      this.#gathering = undefined;
      this.#work = this.#work.then(() => this.#trySync());
    }, delayMs);
    this.#gathering = { timer, dueAt };
  }

  async #trySync(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    try {
      await this.#sync();
    } catch (error) {
      this.#report(error);
      // What of it was done is not known.
      this.#isFullDue = true;
      this.#touch(RETRY_MS);
    }
  }

  async #sync(): Promise<void> {
    const { kernel, onSync } = this.#options;
    const start = performance.now();
    const [isFull, events] = [this.#isFullDue, this.#events];
    this.#isFullDue = false;
    this.#events = [];
    const mended = isFull
      ? await syncKernel(kernel, this.#wanted)
      : syncChanges(kernel, this.#wanted, events);
    onSync?.(mended, { isFull, durationMs: performance.now() - start });
  }

  #report(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#options.onError?.(error);
  }
}
