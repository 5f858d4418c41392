import { EventEmitter, on } from 'node:events';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { isCode } from '@amphipod/linux';
import { FabricError } from '../errors.ts';
import type {
  CallOptions,
  Datastore,
  DeleteOptions,
  Entry,
  PutOptions,
  Snapshot,
  WatchEvent,
  WatchOptions,
} from './datastore.ts';
import { changeOf, type EntryRow, entryOf, type HistoryRow } from './embedded-rows.ts';
import { schema } from './embedded-schema.ts';

const HISTORY_REVISIONS = 10_000n;
/** Longest delay of a timer of Node.js. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface EmbeddedOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  /** How many revisions back a watch can begin; 10,000 unless given. */
  historyRevisions?: bigint;
}

interface Meta {
  revision: bigint;
  compacted: bigint;
  last_lease: bigint;
}

/**
 * A datastore in a SQLite file, for one process. Leases go on while the file is closed: what has run out by then is
 * deleted when it is opened.
 * @param path the file, or ":memory:"
 * @throws FabricError `datastore-error` for a file that is no database
 */
export function openEmbeddedDatastore(path: string, options: EmbeddedOptions = {}): Datastore {
  try {
    return new EmbeddedDatastore(path, options);
  } catch (error) {
    throw new FabricError('datastore-error', `open datastore ${JSON.stringify(path)}: ${String(error)}`, {
      cause: error,
    });
  }
}

class EmbeddedDatastore implements Datastore {
  readonly #database: DatabaseSync;
  readonly #now: () => number;
  readonly #historyRevisions: bigint;
  readonly #changed = new EventEmitter<{ change: [] }>();
  readonly #closed = new AbortController();
  readonly #statements = new Map<string, StatementSync>();
  #expiry: NodeJS.Timeout | undefined;

  constructor(path: string, { now = Date.now, historyRevisions = HISTORY_REVISIONS }: EmbeddedOptions) {
    this.#now = now;
    this.#historyRevisions = historyRevisions;
    this.#changed.setMaxListeners(0);
    this.#database = new DatabaseSync(path, { readBigInts: true });
    // NORMAL in WAL mode: a killed process loses nothing, a power cut at most the last moments.
    this.#database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;');
    this.#database.exec(schema);
    this.#expire();
  }

  async get(key: string, { signal }: CallOptions = {}): Promise<Entry | undefined> {
    signal?.throwIfAborted();
    this.#expire();
    return this.#find(key);
  }

  async list(prefix: string, { signal }: CallOptions = {}): Promise<Snapshot> {
    signal?.throwIfAborted();
    this.#expire();
    return this.#snapshot(prefix);
  }

  async put(key: string, value: string, options: PutOptions = {}): Promise<Entry> {
    options.signal?.throwIfAborted();
    this.#expire();
    const entry = this.#transaction(() => {
      const old = this.#find(key);
      checkExpected(`put ${JSON.stringify(key)}`, old, options.expected);
      const leaseId = options.ttlSeconds === undefined ? undefined : this.#grant(options.ttlSeconds);
      const made: Entry = {
        key,
        value,
        revision: this.#nextRevision(),
        ...(leaseId !== undefined && { leaseId }),
      };
      this.#run('INSERT OR REPLACE INTO entries (key, value, revision, lease_id) VALUES (?, ?, ?, ?)', [
        key,
        value,
        made.revision,
        leaseId ?? null,
      ]);
      this.#remember(made.revision, key, made);
      if (old?.leaseId !== undefined) this.#run('DELETE FROM leases WHERE id = ?', [old.leaseId]);
      return made;
    });
    this.#announce();
    return entry;
  }

  async delete(key: string, { expected, signal }: DeleteOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    this.#expire();
    const isDeleted = this.#transaction(() => {
      const old = this.#find(key);
      checkExpected(`delete ${JSON.stringify(key)}`, old, expected);
      if (old === undefined) return false;
      this.#drop([key], this.#nextRevision());
      if (old.leaseId !== undefined) this.#run('DELETE FROM leases WHERE id = ?', [old.leaseId]);
      return true;
    });
    if (isDeleted) this.#announce();
    return isDeleted;
  }

  async renew({ leaseId }: Entry, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    this.#expire();
    if (leaseId === undefined) return true;
    const renewed = this.#run('UPDATE leases SET expires_at = ttl_ms + ? WHERE id = ?', [
      BigInt(this.#now()),
      leaseId,
    ]);
    this.#setTimer();
    return renewed > 0n;
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
    this.#database.close();
  }

  /** What a watch that wants to hear from `next` on is told now; undefined when nothing changed. */
  #eventSince(prefix: string, next: bigint | undefined): WatchEvent | undefined {
    const { revision, compacted } = this.#meta();
    // A revision that is still to come after the next one is that of another store.
    if (next === undefined || next <= compacted || next > revision + 1n) {
      return { type: 'snapshot', ...this.#snapshot(prefix) };
    }
    const rows = this.#all<HistoryRow>('SELECT * FROM history WHERE revision >= ? ORDER BY revision', [next]);
    const changes = rows.filter(({ key }) => key.startsWith(prefix)).map(changeOf);
    return changes.length === 0 ? undefined : { type: 'changes', changes, revision };
  }

  #snapshot(prefix: string): Snapshot {
    // GLOB and LIKE have characters with a meaning; keys of one prefix stand together.
    const rows = this.#all<EntryRow>('SELECT * FROM entries WHERE key >= ? ORDER BY key', [prefix]);
    const end = rows.findIndex(({ key }) => !key.startsWith(prefix));
    return {
      entries: (end < 0 ? rows : rows.slice(0, end)).map(entryOf),
      revision: this.#meta().revision,
    };
  }

  #find(key: string): Entry | undefined {
    const [row] = this.#all<EntryRow>('SELECT * FROM entries WHERE key = ?', [key]);
    return row === undefined ? undefined : entryOf(row);
  }

  #meta(): Meta {
    return this.#all<Meta>('SELECT revision, compacted, last_lease FROM meta', [])[0]!;
  }

  #nextRevision(): bigint {
    this.#run('UPDATE meta SET revision = revision + 1', []);
    return this.#meta().revision;
  }

  #grant(ttlSeconds: number): bigint {
    this.#run('UPDATE meta SET last_lease = last_lease + 1', []);
    const id = this.#meta().last_lease;
    const ttlMs = BigInt(ttlSeconds) * 1000n;
    this.#run('INSERT INTO leases (id, ttl_ms, expires_at) VALUES (?, ?, ?)', [
      id,
      ttlMs,
      BigInt(this.#now()) + ttlMs,
    ]);
    return id;
  }

  /** Writes a change into the history and forgets the oldest. */
  #remember(revision: bigint, key: string, entry: Entry | undefined): void {
    this.#run('INSERT INTO history (revision, key, value, lease_id) VALUES (?, ?, ?, ?)', [
      revision,
      key,
      entry?.value ?? null,
      entry?.leaseId ?? null,
    ]);
    const compacted = revision - this.#historyRevisions;
    if (compacted <= 0n) return;
    this.#run('DELETE FROM history WHERE revision <= ?', [compacted]);
    this.#run('UPDATE meta SET compacted = ?', [compacted]);
  }

  #drop(keys: readonly string[], revision: bigint): void {
    for (const key of keys) {
      this.#run('DELETE FROM entries WHERE key = ?', [key]);
      this.#remember(revision, key, undefined);
    }
  }

  /** Deletes what has run out, and wakes up for the next. */
  #expire(): void {
    this.#assertOpen();
    const now = BigInt(this.#now());
    const expired = this.#all<{ id: bigint }>('SELECT id FROM leases WHERE expires_at <= ?', [now]);
    if (expired.length > 0) {
      this.#transaction(() => {
        for (const { id } of expired) {
          const rows = this.#all<EntryRow>('SELECT * FROM entries WHERE lease_id = ?', [id]);
          if (rows.length > 0) {
            this.#drop(
              rows.map(({ key }) => key),
              this.#nextRevision(),
            );
          }
          this.#run('DELETE FROM leases WHERE id = ?', [id]);
        }
      });
      this.#announce();
    } else this.#setTimer();
  }

  #setTimer(): void {
    clearTimeout(this.#expiry);
    const [first] = this.#all<{ at: bigint | null }>('SELECT min(expires_at) AS at FROM leases', []);
    if (first?.at == null) return;
    const delayMs = Math.max(0, Number(first.at) - this.#now());
    this.#expiry = setTimeout(() => this.#expire(), Math.min(delayMs, MAX_TIMER_MS)).unref();
  }

  #announce(): void {
    this.#setTimer();
    this.#changed.emit('change');
  }

  #transaction<T>(body: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = body();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #statement(sql: string): StatementSync {
    const made = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #all<Row>(sql: string, parameters: readonly (string | bigint)[]): Row[] {
    return this.#statement(sql).all(...parameters) as Row[];
  }

  /** Number of rows that it changed. */
  #run(sql: string, parameters: readonly (string | bigint | null)[]): bigint {
    return BigInt(this.#statement(sql).run(...parameters).changes);
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
