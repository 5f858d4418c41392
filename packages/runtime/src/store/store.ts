import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { ContainerConfig, PodSandboxConfig } from '../gen/api.ts';
import { PatientWrites } from './patient-writes.ts';
import type { Container, Sandbox } from './records.ts';

const schema = `
CREATE TABLE IF NOT EXISTS sandboxes (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config BLOB NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config BLOB NOT NULL, record TEXT NOT NULL);
`;

interface Codec<Config> {
  encode(config: Config): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Config;
}

/** What the daemon knows of pods and containers: in memory for reading, in SQLite for the next start. */
export class Store implements Disposable {
  readonly sandboxes: Table<PodSandboxConfig, Sandbox>;
  readonly containers: Table<ContainerConfig, Container>;
  readonly #database: DatabaseSync;
  readonly #writes: PatientWrites;

  /**
   * @param path the database file, or ":memory:"
   * @param onDiskFull told when a full disk has changes wait (true), and when they are saved (false)
   */
  constructor(path: string, onDiskFull?: (isWaiting: boolean) => void) {
    this.#database = new DatabaseSync(path);
    // Exclusive: the index of the log is in memory, so that opening needs no room on a full disk; nobody else opens it anyway.
    this.#database.exec('PRAGMA locking_mode=EXCLUSIVE;');
    // NORMAL in WAL mode: a killed daemon loses nothing, a power cut at most the last moments.
    this.#database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;');
    this.#database.exec(schema);
    this.#writes = new PatientWrites({
      reserve: path === ':memory:' ? undefined : `${path}.reserve`,
      ...(onDiskFull && { onChange: onDiskFull }),
    });
    const common = { database: this.#database, writes: this.#writes };
    this.sandboxes = new Table(common, 'sandboxes', PodSandboxConfig);
    this.containers = new Table(common, 'containers', ContainerConfig, {
      parentOf: ({ sandboxId }) => sandboxId,
    });
  }

  /** Containers of one sandbox, oldest first. */
  containersOf(sandboxId: string): Container[] {
    return this.containers.childrenOf(sandboxId);
  }

  [Symbol.dispose](): void {
    this.#writes[Symbol.dispose]();
    this.#database.close();
  }
}

/**
 * One kind of record. Reads come from memory; each write is in the database before it returns, unless the disk is full: see
 * {@link PatientWrites}.
 */
export class Table<Config, Row extends { id: string; name: string; readonly config: Config }> {
  readonly #rows = new Map<string, Row>();
  readonly #parentOf: (row: Row) => string;
  readonly #children = new Map<string, Set<Row>>();
  readonly #revisions = new WeakMap<Row, number>();
  #revision = 0;
  readonly #writes: PatientWrites;
  readonly #codec: Codec<Config>;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  /** Rows that could not be read, by id, with the reason. They are gone: a bad record never keeps the daemon from starting. */
  readonly unreadable = new Map<string, Error>();

  /** @param parentOf what {@link childrenOf} goes by */
  constructor(
    { database, writes }: { database: DatabaseSync; writes: PatientWrites },
    table: 'sandboxes' | 'containers',
    codec: Codec<Config>,
    { parentOf = () => '' }: { parentOf?: (row: Row) => string } = {},
  ) {
    this.#codec = codec;
    this.#writes = writes;
    this.#parentOf = parentOf;
    this.#insert = database.prepare(`INSERT INTO ${table} (id, name, config, record) VALUES (?, ?, ?, ?)`);
    this.#update = database.prepare(`UPDATE ${table} SET record = ? WHERE id = ?`);
    this.#delete = database.prepare(`DELETE FROM ${table} WHERE id = ?`);
    for (const row of database.prepare(`SELECT id, config, record FROM ${table} ORDER BY rowid`).iterate()) {
      try {
        const record = parseRecord(row.record as string) as Row;
        if (record.id !== row.id) throw new Error(`it is the record of ${JSON.stringify(record.id)}`);
        this.#keep({ ...record, config: codec.decode(row.config as Uint8Array) });
      } catch (error) {
        this.unreadable.set(String(row.id), error as Error);
      }
    }
    for (const id of this.unreadable.keys()) writes.write(id, () => this.#delete.run(id));
  }

  /** All rows, oldest first. */
  list(): Row[] {
    return [...this.#rows.values()];
  }

  get(id: string): Row | undefined {
    return this.#rows.get(id);
  }

  /**
   * The row whose id is, or begins with, `idOrPrefix`.
   * @returns undefined when there is none or more than one
   */
  find(idOrPrefix: string): Row | undefined {
    const exact = this.#rows.get(idOrPrefix);
    if (exact !== undefined || idOrPrefix === '' || idOrPrefix.length >= 64) return exact;
    let found: Row | undefined;
    for (const row of this.#rows.values()) {
      if (!row.id.startsWith(idOrPrefix)) continue;
      if (found !== undefined) return undefined;
      found = row;
    }
    return found;
  }

  add(row: Row): void {
    const { config, ...record } = row;
    const bytes = this.#codec.encode(config).finish();
    this.#writes.writeNow(() => this.#insert.run(row.id, row.name, bytes, formatRecord(record)));
    this.#keep(row);
  }

  /** Rows of one parent, oldest first. */
  childrenOf(parentId: string): Row[] {
    return [...(this.#children.get(parentId) ?? [])];
  }

  /** Rises with every change of any row: what was made of the rows is up to date while this stays the same. */
  get revision(): number {
    return this.#revision;
  }

  /** The same for one row. */
  revisionOf(row: Row): number {
    return this.#revisions.get(row) ?? 0;
  }

  #keep(row: Row): void {
    this.#rows.set(row.id, row);
    const parentId = this.#parentOf(row);
    const siblings = this.#children.get(parentId) ?? new Set();
    this.#children.set(parentId, siblings.add(row));
    this.#changed(row);
  }

  #changed(row: Row): void {
    this.#revisions.set(row, ++this.#revision);
  }

  /** Changes fields of a row in place and saves it. */
  update(row: Row, changes: Partial<Omit<Row, 'id' | 'name' | 'config'>>): void {
    Object.assign(row, changes);
    const { config: _, ...record } = row;
    this.#changed(row);
    const text = formatRecord(record);
    this.#writes.write(row.id, () => this.#update.run(text, row.id));
  }

  remove(id: string): void {
    this.#writes.write(id, () => this.#delete.run(id));
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#rows.delete(id);
    this.#changed(row);
    const siblings = this.#children.get(this.#parentOf(row));
    siblings?.delete(row);
    if (siblings?.size === 0) this.#children.delete(this.#parentOf(row));
  }
}

/** JSON in which fields named `…Ns` are bigints. */
function formatRecord(record: object): string {
  return JSON.stringify(record, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}

function parseRecord(text: string): unknown {
  return JSON.parse(text, (key, value) => (key.endsWith('Ns') ? BigInt(value as string) : value));
}
