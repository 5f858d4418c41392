import { isCode } from '@amphipod/linux';
import { leaseTtlSeconds } from '../overlay/acquire-lease.ts';
import type { Mended } from '../overlay/mended.ts';
import type { AgentHealth, AgentState, StoreState, SyncState } from './agent-state.ts';
import { overlayState, type RunningOverlay } from './overlay-state.ts';

/** The kernel is looked at every minute: three looks that did not end well are not by chance. */
const SYNC_OVERDUE_MS = 3 * 60_000;

export interface MonitorOptions {
  /** For people: `etcd at http://192.0.2.10:2379`. */
  datastore: string;
  /** `/coreos.com/network` */
  prefix: string;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** One look at the kernel that ended well. */
export interface SyncReport {
  /** Differences mended, by kind. */
  mended: Readonly<Mended>;
  durationMs: number;
}

/** Remembers what an agent is told of its work, and says from it how the agent is. */
export class AgentMonitor {
  readonly #options: MonitorOptions;
  readonly #now: () => number;
  readonly #startedMs: number;
  #phase: AgentState['phase'] = 'waiting';
  #why: string | undefined = 'the datastore';
  #running: RunningOverlay | undefined;
  #runningSinceMs = 0;
  #lastGoodMs: number | undefined;
  #lastRenewedMs: number | undefined;
  readonly #sync: SyncState = { count: 0, failures: 0, mended: {} };
  readonly #store: StoreState = { errors: 0 };
  /** Told of each look that ended well. */
  onSync: ((report: SyncReport) => void) | undefined;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#startedMs = this.#now();
  }

  waiting(why: string): void {
    this.#phase = 'waiting';
    this.#why = why;
  }

  /** The node has its lease, and plugins can read of it. */
  running(running: RunningOverlay): void {
    this.#running = running;
    this.#phase = 'running';
    this.#why = undefined;
    this.#runningSinceMs = this.#now();
  }

  ended(why: string): void {
    this.#phase = 'ended';
    this.#why = why;
  }

  synced(report: SyncReport): void {
    const sync = this.#sync;
    sync.count++;
    sync.lastMs = report.durationMs;
    delete sync.error;
    this.#lastGoodMs = this.#now();
    for (const [kind, count] of Object.entries(report.mended)) {
      if (count === 0) continue;
      sync.mended[kind] = (sync.mended[kind] ?? 0) + count;
      sync.lastMendedAt = time(this.#now());
    }
    this.onSync?.(report);
  }

  renewed(): void {
    this.#lastRenewedMs = this.#now();
    delete this.#store.error;
  }

  /** Something failed that is tried again: a call of the datastore, or a look at the kernel. */
  failed(error: unknown): void {
    const message = (error as Error).message;
    if (isCode(error, 'unavailable', 'datastore-error', 'conflict')) {
      this.#store.errors++;
      this.#store.error = message;
      return;
    }
    this.#sync.count++;
    this.#sync.failures++;
    this.#sync.error = message;
  }

  /** The connection to the datastore was lost, or is there again when `error` is undefined. */
  connection(error: unknown): void {
    if (error === undefined) delete this.#store.error;
    else this.failed(error);
  }

  /** Numbers of leases of other nodes, without working out all of the state. */
  leases(): { known: number; passedOver: number } {
    const wanted = this.#running?.overlay.wanted;
    const ids = [...(wanted?.ids() ?? [])];
    return {
      known: ids.length,
      passedOver: ids.filter((id) => wanted!.whyNot(id).length > 0).length,
    };
  }

  /** All but the overlay. */
  summary(): Omit<AgentState, 'overlay'> {
    const { datastore, prefix } = this.#options;
    return {
      startedAt: time(this.#startedMs),
      phase: this.#phase,
      ...(this.#why !== undefined && { why: this.#why }),
      datastore,
      prefix,
      health: this.health(),
      sync: {
        ...this.#sync,
        ...(this.#lastGoodMs !== undefined && { lastGoodAt: time(this.#lastGoodMs) }),
      },
      store: {
        ...this.#store,
        ...(this.#lastRenewedMs !== undefined && { lastRenewedAt: time(this.#lastRenewedMs) }),
      },
    };
  }

  state(): AgentState {
    const running = this.#running;
    return { ...this.summary(), ...(running !== undefined && { overlay: overlayState(running) }) };
  }

  health(): AgentHealth {
    const unhealthy: string[] = [];
    const unready: string[] = [];
    if (this.#phase !== 'running') unready.push(`${this.#phase}: ${this.#why}`);
    if (this.#phase === 'ended') unhealthy.push(`ended: ${this.#why}`);
    if (this.#sync.error !== undefined)
      unready.push(`the last look at the kernel failed: ${this.#sync.error}`);
    const now = this.#now();
    if (this.#phase === 'running') {
      const sinceMs = now - Math.max(this.#lastGoodMs ?? 0, this.#runningSinceMs);
      if (sinceMs > SYNC_OVERDUE_MS) {
        unhealthy.push(`no look at the kernel has ended well for ${Math.floor(sinceMs / 1000)} seconds`);
      }
      if (this.#running!.overlay.expires && now - (this.#lastRenewedMs ?? 0) > leaseTtlSeconds * 1000) {
        unready.push('the lease has run out: the datastore did not renew it in time');
      }
    }
    // What is not healthy cannot be relied on either.
    return { unhealthy, unready: [...unready, ...unhealthy.filter((why) => !unready.includes(why))] };
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
