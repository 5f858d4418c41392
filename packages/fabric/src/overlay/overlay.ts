import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { type MonitorEvent, monitor } from '@amphipod/netlink';
import type { WatchEvent } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import {
  acquireLease,
  type LeaseStore,
  leasesPrefix,
  leaseTtlSeconds,
  type OwnLease,
  renewLease,
} from './acquire-lease.ts';
import { isSameNode, type Lease, leaseName, parseLease } from './lease.ts';
import type { NetworkConfig } from './network-config.ts';
import { ownAttributes } from './own-attributes.ts';
import { type KernelView, syncKernel } from './sync-kernel.ts';
import { overlayRouteProtocol } from './sync-routes.ts';
import { areRulesUntouched } from './sync-rules.ts';
import {
  type OverlayFacts,
  overlayMtu,
  type PassedOver,
  type Underlay,
  vxlanName,
  wantedState,
} from './wanted-state.ts';

/** Changes that come together are mended together. */
const GATHER_MS = 5;
const RULES_CHECK_MS = 250;
const RESYNC_MS = 60_000;
const RETRY_MS = 1_000;
const RENEW_RETRY_MS = 60_000;

export interface OverlayOptions {
  leases: LeaseStore;
  config: NetworkConfig;
  underlay: Underlay;
  kernel: KernelView;
  masquerade: boolean;
  /** The subnets of the last time. */
  previous?: Pick<Lease, 'subnet' | 'ipv6Subnet'>;
  /** Told after each look at the kernel: how many differences were mended, and what the look was. */
  onSync?: (mended: number, look: SyncLook) => void;
  /** Told of failures that are tried again. */
  onError?: (error: unknown) => void;
  /** As in {@link WatchOptions}. */
  onConnection?: (error: unknown) => void;
  /** Told when the lease was acquired or renewed. */
  onRenewed?: () => void;
}

/** One look at the kernel. */
export interface SyncLook {
  /** At all that the overlay has there, not only at what has changed. */
  isFull: boolean;
  durationMs: number;
}

/**
 * Keeps the overlay of this node: its lease, and the kernel's devices, routes and rules as the leases of all nodes want them,
 * whoever changes what. Ends when it is disposed of; devices, routes and rules stay, so that pods do not notice.
 */
export interface Overlay extends AsyncDisposable {
  readonly lease: Lease;
  /** The MTU for pods. */
  readonly mtu: number;
  /** What {@link wantedState} works with, as of now. */
  readonly facts: OverlayFacts;
  /** The lease has no time to live. */
  readonly isReserved: boolean;
  /** Leases that nothing can be done for, as of the last look. */
  readonly passedOver: readonly PassedOver[];
  /** Is rejected with FabricError `lease-lost`, or whatever else ends the overlay; resolves when it is disposed of. */
  readonly ended: Promise<void>;
  /** Has all of the kernel looked at soon, as it is done every minute anyway. */
  resync(): void;
  /** Ends the overlay and gives the lease back, unless it is a reservation. */
  release(): Promise<void>;
}

/** Acquires a lease, sets the overlay up, and then keeps it. @throws as {@link acquireLease}; NetlinkError */
export async function startOverlay(options: OverlayOptions): Promise<Overlay> {
  const { leases, config, previous } = options;
  const attributes = ownAttributes(options);
  const own = await acquireLease(leases, config, { attributes, ...(previous && { previous }) });
  options.onRenewed?.();
  const keeper = new OverlayKeeper(options, own);
  await keeper.start();
  return keeper;
}

class OverlayKeeper implements Overlay {
  readonly #options: OverlayOptions;
  readonly #stop = new AbortController();
  readonly #leases = new Map<string, Lease>();
  readonly #timers: NodeJS.Timeout[] = [];
  /** Of the devices that we may have, one for each family. */
  readonly #deviceNames: readonly string[];
  #own: OwnLease;
  #passedOver: readonly PassedOver[] = [];
  #gathering: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();
  #tasks: Promise<void> = Promise.resolve();
  #isDue = false;
  readonly #end = Promise.withResolvers<void>();

  constructor(options: OverlayOptions, own: OwnLease) {
    this.#options = options;
    this.#own = own;
    const { backend } = options.config;
    this.#deviceNames =
      backend.type === 'vxlan' ? ([4, 6] as const).map((family) => vxlanName(backend.vni, family)) : [];
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
    return this.#passedOver;
  }

  get facts(): OverlayFacts {
    const { config, underlay, masquerade } = this.#options;
    return { config, underlay, own: this.#own.lease, leases: [...this.#leases.values()], masquerade };
  }

  get isReserved(): boolean {
    return this.#own.entry.leaseId === undefined;
  }

  get ended(): Promise<void> {
    return this.#end.promise;
  }

  async start(): Promise<void> {
    const { store, prefix } = this.#options.leases;
    const { signal } = this.#stop;
    const { rtnl } = this.#options.kernel;
    const snapshot = await store.list(leasesPrefix(prefix), { signal });
    this.#learn({ type: 'snapshot', ...snapshot });
    // Listens before it looks.
    const kernelEvents = monitor(rtnl, ['link', 'address', 'route', 'neighbour', 'fdb'], { signal });
    const tasks = [
      this.#watchKernel(kernelEvents),
      this.#watchLeases(snapshot.revision + 1n),
      this.#renew(),
    ].map((task) => task.catch((error: unknown) => this.#fail(error)));
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
    this.#timers.push(setInterval(() => this.#touch(), RESYNC_MS));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#halt();
    await this.#tasks;
    await this.#work;
    this.#end.resolve();
  }

  resync(): void {
    this.#touch();
  }

  async release(): Promise<void> {
    await this[Symbol.asyncDispose]();
    const { key, leaseId, revision } = this.#own.entry;
    if (leaseId === undefined) return;
    try {
      await this.#options.leases.store.delete(key, { expected: revision });
    } catch (error) {
      // Somebody else has written it: it is not ours any more.
      if (!isCode(error, 'conflict')) throw error;
    }
  }

  #halt(): void {
    this.#stop.abort();
    clearTimeout(this.#gathering);
    for (const timer of this.#timers) clearInterval(timer);
  }

  #fail(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#end.reject(error);
    this.#halt();
  }

  async #watchLeases(fromRevision: bigint): Promise<void> {
    const { store, prefix } = this.#options.leases;
    const { onConnection } = this.#options;
    const { signal } = this.#stop;
    const options = { fromRevision, signal, ...(onConnection && { onConnection }) };
    for await (const event of store.watch(leasesPrefix(prefix), options)) {
      this.#learn(event);
      if (!this.#hasOwn()) await this.#renewNow();
      this.#touch();
    }
  }

  #learn(event: WatchEvent): void {
    if (event.type === 'snapshot') this.#leases.clear();
    const changes =
      event.type === 'changes'
        ? event.changes
        : event.entries.map((entry) => ({ type: 'put', entry }) as const);
    for (const change of changes) {
      const key = change.type === 'put' ? change.entry.key : change.key;
      const lease = change.type === 'put' ? parseLease(key, change.entry.value) : undefined;
      if (lease === undefined) this.#leases.delete(key);
      else this.#leases.set(key, lease);
    }
  }

  #hasOwn(): boolean {
    const there = this.#leases.get(this.#own.entry.key);
    return there !== undefined && isSameNode(there.attributes, this.#own.lease.attributes);
  }

  async #watchKernel(events: AsyncIterable<MonitorEvent>): Promise<void> {
    for await (const event of events) if (this.#concerns(event)) this.#touch();
  }

  /** False for the many things that happen on a node and are nothing to us. */
  #concerns(event: MonitorEvent): boolean {
    const { kernel, underlay } = this.#options;
    // A device of the same name with another index is told of as a link first.
    const isDevice = (ifIndex: number | undefined) =>
      ifIndex !== undefined && kernel.deviceIndexes?.includes(ifIndex) === true;
    switch (event.subject) {
      case 'lost':
        return true;
      case 'link':
        return this.#deviceNames.includes(event.link.name) || event.link.ifIndex === underlay.ifIndex;
      case 'address':
        return isDevice(event.address.ifIndex);
      case 'neighbour':
        return isDevice(event.neighbour.ifIndex);
      case 'fdb':
        return isDevice(event.entry.ifIndex);
      case 'route':
        return event.route.protocol === overlayRouteProtocol || isDevice(event.route.ifIndex);
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
      renewed = await renewLease(this.#options.leases, this.#own, { signal: this.#stop.signal });
    } catch (error) {
      this.#report(error);
      return false;
    }
    if (renewed === undefined) {
      const name = leaseName(this.#own.lease);
      throw new FabricError('lease-lost', `renew subnet lease ${JSON.stringify(name)}: another node has it`);
    }
    this.#own = renewed;
    this.#options.onRenewed?.();
    return true;
  }

  #checkRules(): void {
    const { kernel } = this.#options;
    try {
      if (kernel.writtenRules !== undefined && !areRulesUntouched(kernel.nft, kernel.writtenRules))
        this.#touch();
    } catch (error) {
      this.#report(error);
    }
  }

  /** Has the kernel looked at soon. */
  #touch(delayMs = GATHER_MS): void {
    if (this.#stop.signal.aborted) return;
    this.#isDue = true;
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#work = this.#work.then(() => this.#syncIfDue());
    }, delayMs);
  }

  async #syncIfDue(): Promise<void> {
    if (!this.#isDue || this.#stop.signal.aborted) return;
    try {
      await this.#sync();
    } catch (error) {
      this.#report(error);
      this.#touch(RETRY_MS);
    }
  }

  async #sync(): Promise<void> {
    this.#isDue = false;
    const { kernel, onSync } = this.#options;
    const { state, passedOver } = wantedState(this.facts);
    this.#passedOver = passedOver;
    const start = performance.now();
    const mended = await syncKernel(kernel, state);
    onSync?.(mended, { isFull: true, durationMs: performance.now() - start });
  }

  #report(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#options.onError?.(error);
  }
}
