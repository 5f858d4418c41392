import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Change, Entry, Snapshot } from './datastore.ts';
import { changeOf, type EntryRow, entryOf, type HistoryRow } from './embedded-rows.ts';
import { schema } from './embedded-schema.ts';

/** The last character of all, which is none: no key has it. */
const LAST = '\u{10ffff}';

/** Where the history begins and ends. */
export interface Revisions {
  /** Of the newest change. */
  revision: bigint;
  /** Of the newest change that is forgotten. */
  compacted: bigint;
}

/** The tables of the embedded datastore, and all SQL; time and waiting are those of its caller. */
export class EmbeddedTables implements Disposable {
  readonly #database: DatabaseSync;
  readonly #historyRevisions: bigint;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string, historyRevisions: bigint) {
    this.#historyRevisions = historyRevisions;
    this.#database = new DatabaseSync(path, { readBigInts: true });
    // NORMAL in WAL mode: a killed process loses nothing, a power cut at most the last moments.
    this.#database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;');
    this.#database.exec(schema);
  }

  /** Does all that `body` does, or nothing of it. */
  transaction<T>(body: () => T): T {
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

  find(key: string): Entry | undefined {
    const [row] = this.#all<EntryRow>('SELECT * FROM entries WHERE key = ?', [key]);
    return row === undefined ? undefined : entryOf(row);
  }

  snapshot(prefix: string): Snapshot {
    // GLOB and LIKE have characters with a meaning; keys of one prefix stand together.
    const rows = this.#all<EntryRow>('SELECT * FROM entries WHERE key >= ? AND key < ? ORDER BY key', [
      prefix,
      `${prefix}${LAST}`,
    ]);
    return { entries: rows.map(entryOf), revision: this.revisions().revision };
  }

  /** The changes from a revision on to keys that begin with `prefix`. */
  changesSince(revision: bigint, prefix: string): Change[] {
    const rows = this.#all<HistoryRow>('SELECT * FROM history WHERE revision >= ? ORDER BY revision', [
      revision,
    ]);
    return rows.filter(({ key }) => key.startsWith(prefix)).map(changeOf);
  }

  /** Tells this database from every other. */
  id(): bigint {
    return this.#all<{ id: bigint }>('SELECT id FROM identity', [])[0]!.id;
  }

  revisions(): Revisions {
    return this.#all<Revisions>('SELECT revision, compacted FROM meta', [])[0]!;
  }

  /** Writes an entry and a change of its own; the lease that the key lived by before is the caller's to drop. */
  put(key: string, value: string, leaseId: bigint | undefined): Entry {
    const revision = this.#nextRevision();
    this.#run('INSERT OR REPLACE INTO entries (key, value, revision, lease_id) VALUES (?, ?, ?, ?)', [
      key,
      value,
      revision,
      leaseId ?? null,
    ]);
    const entry: Entry = { key, value, revision, ...(leaseId !== undefined && { leaseId }) };
    this.#remember(revision, key, entry);
    return entry;
  }

  /** Deletes entries in one change. */
  delete(keys: readonly string[]): void {
    if (keys.length === 0) return;
    const revision = this.#nextRevision();
    for (const key of keys) {
      this.#run('DELETE FROM entries WHERE key = ?', [key]);
      this.#remember(revision, key, undefined);
    }
  }

  /** Makes a lease. @returns its number */
  grant(ttlMs: bigint, now: bigint): bigint {
    this.#run('UPDATE meta SET last_lease = last_lease + 1', []);
    const [row] = this.#all<{ id: bigint }>('SELECT last_lease AS id FROM meta', []);
    this.#run('INSERT INTO leases (id, ttl_ms, expires_at) VALUES (?, ?, ?)', [row!.id, ttlMs, now + ttlMs]);
    return row!.id;
  }

  /** Has a lease run from now on. False when there is none. */
  renew(leaseId: bigint, now: bigint): boolean {
    return this.#run('UPDATE leases SET expires_at = ttl_ms + ? WHERE id = ?', [now, leaseId]) > 0n;
  }

  /** A lease's time to live; undefined when there is none. */
  ttlMs(leaseId: bigint): bigint | undefined {
    return this.#all<{ ttl_ms: bigint }>('SELECT ttl_ms FROM leases WHERE id = ?', [leaseId])[0]?.ttl_ms;
  }

  dropLease(leaseId: bigint): void {
    this.#run('DELETE FROM leases WHERE id = ?', [leaseId]);
  }

  /** The leases that have run out. */
  expiredLeases(now: bigint): bigint[] {
    return this.#all<{ id: bigint }>('SELECT id FROM leases WHERE expires_at <= ?', [now]).map(
      ({ id }) => id,
    );
  }

  /** When the next lease runs out. */
  firstExpiry(): bigint | undefined {
    const [first] = this.#all<{ at: bigint | null }>('SELECT min(expires_at) AS at FROM leases', []);
    return first?.at ?? undefined;
  }

  keysOfLease(leaseId: bigint): string[] {
    return this.#all<{ key: string }>('SELECT key FROM entries WHERE lease_id = ?', [leaseId]).map(
      ({ key }) => key,
    );
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #nextRevision(): bigint {
    this.#run('UPDATE meta SET revision = revision + 1', []);
    return this.revisions().revision;
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
}
