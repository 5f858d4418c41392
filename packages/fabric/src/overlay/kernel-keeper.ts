import { isCode } from '@amphipod/linux';
import { type MonitorEvent, monitor } from '@amphipod/netlink';
import type { SyncLook } from './overlay-types.ts';
import {
  areTunnelsUntouched,
  type EntryEvent,
  judgeEvent,
  type KernelView,
  syncChanges,
  syncKernel,
} from './sync-kernel.ts';
import { areRulesUntouched } from './sync-rules.ts';
import type { Underlay, WantedState } from './wanted-state.ts';

/** What somebody changes in the kernel at one time is mended at one time. */
const GATHER_MS = 5;
const RULES_CHECK_MS = 250;
const TUNNELS_CHECK_MS = 500;
/** Of the time at most one part in so many goes into looking at tunnels. */
const TUNNELS_CHECK_SHARE = 50;
const RESYNC_MS = 60_000;
const RETRY_MS = 1_000;

export interface KernelKeeperOptions {
  view: KernelView;
  wanted: WantedState;
  underlay: Underlay;
  onSync?: ((mended: number, look: SyncLook) => void) | undefined;
  onError?: ((error: unknown) => void) | undefined;
  /** Ends it. */
  signal: AbortSignal;
}

/** Keeps the kernel as it is wanted: when leases change what that is, when somebody changes the kernel, and every minute. */
export class KernelKeeper {
  readonly #options: KernelKeeperOptions;
  #due: { timer: NodeJS.Timeout; at: number } | undefined;
  #work: Promise<void> = Promise.resolve();
  /** What the next look is to see to, beside what leases have changed. */
  #isFullDue = true;
  #events: EntryEvent[] = [];
  #tunnelsDueAt = 0;

  constructor(options: KernelKeeperOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => clearTimeout(this.#due?.timer), { once: true });
  }

  /**
   * Makes the kernel as it is wanted, and then keeps it.
   * @returns when that is done for the first time; `watching` ends with the signal, or is rejected when the kernel cannot be listened to
   */
  start(): { first: Promise<void>; watching: Promise<void> } {
    const { view, signal } = this.#options;
    // Listens before it looks.
    const events = monitor(view.rtnl, ['link', 'address', 'route', 'neighbour', 'fdb'], { signal });
    const watching = this.#watch(events);
    const first = this.#sync();
    this.#work = first.then(
      () => this.#setTimers(),
      () => {},
    );
    return { first, watching };
  }

  /** Has what leases changed made in the kernel, at once. */
  applyChanges(): void {
    this.#touch(0);
  }

  /** Has all of the kernel looked at, at once. */
  resync(): void {
    this.#isFullDue = true;
    this.#touch(0);
  }

  /** Resolves when nothing is under way; to be asked after the signal. */
  async idle(): Promise<void> {
    await this.#work;
  }

  #setTimers(): void {
    const { signal, wanted } = this.#options;
    if (signal.aborted) return;
    const timers = [
      setInterval(() => this.#checkRules(), RULES_CHECK_MS),
      setInterval(() => this.resync(), RESYNC_MS),
    ];
    if (wanted.tunnels.length > 0) timers.push(setInterval(() => this.#checkTunnels(), TUNNELS_CHECK_MS));
    signal.addEventListener('abort', () => timers.forEach(clearInterval), { once: true });
  }

  async #watch(events: AsyncIterable<MonitorEvent>): Promise<void> {
    const { view, wanted, underlay } = this.#options;
    for await (const event of events) {
      const asked = judgeEvent(event, { view, state: wanted, underlay });
      if (asked === undefined) continue;
      if (asked === 'all') this.#isFullDue = true;
      else this.#events.push(asked);
      this.#touch(GATHER_MS);
    }
  }

  #checkRules(): void {
    const { nft, writtenRules } = this.#options.view;
    try {
      if (writtenRules !== undefined && !areRulesUntouched(nft, writtenRules)) this.#touch(0);
    } catch (error) {
      this.#report(error);
    }
  }

  #checkTunnels(): void {
    const { view, wanted } = this.#options;
    // What is due is seen to anyway; a device that is not there is told of.
    const start = performance.now();
    if (this.#isFullDue || wanted.hasChanges || start < this.#tunnelsDueAt) return;
    try {
      if (!areTunnelsUntouched(view, wanted)) this.resync();
    } catch (error) {
      if (!isCode(error, 'ENODEV')) this.#report(error);
    }
    const end = performance.now();
    this.#tunnelsDueAt = end + TUNNELS_CHECK_SHARE * (end - start);
  }

  /** Has the kernel looked at in so many ms, or sooner if that was wanted before. */
  #touch(delayMs: number): void {
    if (this.#options.signal.aborted) return;
    const at = performance.now() + delayMs;
    if (this.#due !== undefined && this.#due.at <= at) return;
    clearTimeout(this.#due?.timer);
    const timer = setTimeout(() => {
      this.#due = undefined;
      // Only one at a time: deleting a link takes a while.
      this.#work = this.#work.then(() => this.#trySync());
    }, delayMs);
    this.#due = { timer, at };
  }

  async #trySync(): Promise<void> {
    if (this.#options.signal.aborted) return;
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
    const { view, wanted, onSync } = this.#options;
    const start = performance.now();
    const [isFull, events] = [this.#isFullDue, this.#events];
    this.#isFullDue = false;
    this.#events = [];
    const mended = isFull ? await syncKernel(view, wanted) : syncChanges(view, wanted, events);
    onSync?.(mended, { isFull, durationMs: performance.now() - start });
  }

  #report(error: unknown): void {
    if (!this.#options.signal.aborted) this.#options.onError?.(error);
  }
}
