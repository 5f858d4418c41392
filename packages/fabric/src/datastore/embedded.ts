import { EventEmitter, on } from 'node:events';
import { isCode } from '@amphipod/linux';
import { FabricError } from '../errors.ts';
import type {
  CallOptions,
  DeleteOptions,
  Entry,
  PutOptions,
  Snapshot,
  WatchEvent,
  WatchOptions,
} from './datastore.ts';
import { EmbeddedTables } from './embedded-tables.ts';
import type { LeasedPutOptions, ServedStore } from './serve/served-store.ts';

const HISTORY_REVISIONS = 10_000n;
/** Longest delay of a timer of Node.js. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface EmbeddedOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  /** How many revisions back a watch can begin; 10,000 unless given. */
  historyRevisions?: bigint;
}

/**
 * A datastore in a SQLite file, for one process, which can serve it to others. Leases go on while the file is closed: what has run out by then is
 * deleted when it is opened.
 * @param path the file, or ":memory:"
 * @throws FabricError `datastore-error` for a file that is no database
 */
export function openEmbeddedDatastore(path: string, options: EmbeddedOptions = {}): ServedStore {
  try {
    return new EmbeddedDatastore(path, options);
  } catch (error) {
    throw new FabricError('datastore-error', `open datastore ${JSON.stringify(path)}: ${String(error)}`, {
      cause: error,
    });
  }
}

class EmbeddedDatastore implements ServedStore {
  readonly id: bigint;
  readonly #tables: EmbeddedTables;
  readonly #now: () => number;
  readonly #changed = new EventEmitter<{ change: [] }>();
  readonly #closed = new AbortController();
  #expiry: NodeJS.Timeout | undefined;

  constructor(path: string, { now = Date.now, historyRevisions = HISTORY_REVISIONS }: EmbeddedOptions) {
    this.#now = now;
    this.#changed.setMaxListeners(0);
    this.#tables = new EmbeddedTables(path, historyRevisions);
    this.id = this.#tables.id();
    this.#expire();
  }

  async get(key: string, { signal }: CallOptions = {}): Promise<Entry | undefined> {
    signal?.throwIfAborted();
    this.#expire();
    return this.#tables.find(key);
  }

  async list(prefix: string, { signal }: CallOptions = {}): Promise<Snapshot> {
    signal?.throwIfAborted();
    this.#expire();
    return this.#tables.snapshot(prefix);
  }

  async put(key: string, value: string, options: PutOptions = {}): Promise<Entry> {
    const { ttlSeconds, ...rest } = options;
    return this.#put(key, value, {
      ...rest,
      leaseOf: () => (ttlSeconds === undefined ? undefined : this.#makeLease(ttlSeconds)),
    });
  }

  async putLeased(key: string, value: string, { leaseId, ...rest }: LeasedPutOptions): Promise<Entry> {
    return this.#put(key, value, {
      ...rest,
      leaseOf: () => {
        if (this.#tables.ttlMs(leaseId) !== undefined) return leaseId;
        throw new FabricError('datastore-error', `put ${JSON.stringify(key)}: there is no lease ${leaseId}`);
      },
    });
  }

  #put(
    key: string,
    value: string,
    { leaseOf, expected, signal }: DeleteOptions & { leaseOf: () => bigint | undefined },
  ): Entry {
    signal?.throwIfAborted();
    this.#expire();
    const entry = this.#tables.transaction(() => {
      const old = this.#tables.find(key);
      checkExpected(`put ${JSON.stringify(key)}`, old, expected);
      const leaseId = leaseOf();
      const made = this.#tables.put(key, value, leaseId);
      if (old?.leaseId !== undefined && old.leaseId !== leaseId) this.#tables.dropLease(old.leaseId);
      return made;
    });
    this.#announce();
    return entry;
  }

  revision(): bigint {
    this.#expire();
    return this.#tables.revisions().revision;
  }

  grant(ttlSeconds: number): bigint {
    this.#expire();
    const leaseId = this.#tables.transaction(() => this.#makeLease(ttlSeconds));
    this.#setTimer();
    return leaseId;
  }

  keepAlive(leaseId: bigint): number | undefined {
    this.#expire();
    if (!this.#tables.renew(leaseId, BigInt(this.#now()))) return undefined;
    this.#setTimer();
    return Number(this.#tables.ttlMs(leaseId)! / 1000n);
  }

  revoke(leaseId: bigint): boolean {
    this.#expire();
    if (this.#tables.ttlMs(leaseId) === undefined) return false;
    this.#endLeases([leaseId]);
    return true;
  }

  async delete(key: string, { expected, signal }: DeleteOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    this.#expire();
    const isDeleted = this.#tables.transaction(() => {
      const old = this.#tables.find(key);
      checkExpected(`delete ${JSON.stringify(key)}`, old, expected);
      if (old === undefined) return false;
      this.#tables.delete([key]);
      if (old.leaseId !== undefined) this.#tables.dropLease(old.leaseId);
      return true;
    });
    if (isDeleted) this.#announce();
    return isDeleted;
  }

  async renew({ leaseId }: Entry, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    this.#expire();
    return leaseId === undefined || this.keepAlive(leaseId) !== undefined;
  }

  async *watch(
    prefix: string,
    { fromRevision, signal }: WatchOptions = {},
  ): AsyncGenerator<WatchEvent, void> {
    const ends = AbortSignal.any([this.#closed.signal, ...(signal === undefined ? [] : [signal])]);
    if (ends.aborted) return;
    // Listens before it reads: what changes in between is told twice as a wake-up, and once as a change.
    const wakeUps = on(this.#changed, 'change', { signal: ends });
    try {
      let next = fromRevision;
      do {
        const event = this.#eventSince(prefix, next);
        if (event !== undefined) {
          next = event.revision + 1n;
          yield event;
        }
      } while (!ends.aborted && !(await wakeUps.next()).done);
    } catch (error) {
      if (!isCode(error, 'ABORT_ERR')) throw error;
    } finally {
      await wakeUps.return?.();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return;
    clearTimeout(this.#expiry);
    this.#closed.abort();
    this.#tables[Symbol.dispose]();
  }

  /** What a watch that wants to hear from `next` on is told now; undefined when nothing changed. */
  #eventSince(prefix: string, next: bigint | undefined): WatchEvent | undefined {
    const { revision, compacted } = this.#tables.revisions();
    // A revision that is still to come after the next one is that of another store.
    if (next === undefined || next <= compacted || next > revision + 1n) {
      return { type: 'snapshot', ...this.#tables.snapshot(prefix) };
    }
    const changes = this.#tables.changesSince(next, prefix);
    return changes.length === 0 ? undefined : { type: 'changes', changes, revision };
  }

  #makeLease(ttlSeconds: number): bigint {
    return this.#tables.grant(BigInt(ttlSeconds) * 1000n, BigInt(this.#now()));
  }

  /** Deletes what has run out, and wakes up for the next. */
  #expire(): void {
    this.#assertOpen();
    const expired = this.#tables.expiredLeases(BigInt(this.#now()));
    if (expired.length === 0) {
      this.#setTimer();
      return;
    }
    this.#endLeases(expired);
  }

  #endLeases(leaseIds: readonly bigint[]): void {
    this.#tables.transaction(() => {
      for (const leaseId of leaseIds) {
        this.#tables.delete(this.#tables.keysOfLease(leaseId));
        this.#tables.dropLease(leaseId);
      }
    });
    this.#announce();
  }

  #setTimer(): void {
    clearTimeout(this.#expiry);
    const first = this.#tables.firstExpiry();
    if (first === undefined) return;
    const delayMs = Math.max(0, Number(first) - this.#now());
    this.#expiry = setTimeout(() => this.#expire(), Math.min(delayMs, MAX_TIMER_MS)).unref();
  }

  #announce(): void {
    this.#setTimer();
    this.#changed.emit('change');
  }

  #assertOpen(): void {
    if (this.#closed.signal.aborted) throw new FabricError('unavailable', 'use datastore: it is closed');
  }
}

/** @throws FabricError `conflict` */
function checkExpected(what: string, entry: Entry | undefined, expected: bigint | undefined): void {
  const revision = entry?.revision ?? 0n;
  if (expected === undefined || revision === expected) return;
  throw new FabricError('conflict', `${what}: revision is ${revision}, expected ${expected}`);
}
