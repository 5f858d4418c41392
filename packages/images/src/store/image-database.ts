import { open } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { ImageError } from '../errors.ts';
import type { DiskReserve } from './disk-reserve.ts';

/** A layer on disk. */
export interface LayerRow {
  chainId: string;
  /** Number of its directory: `layers/N`. */
  number: number;
  diskBytes: number;
  inodes: number;
  /** Digest of the blob that it was unpacked from; null when an earlier version of this program did that. */
  blob: string | null;
}

export interface ImageRow {
  id: string;
  /** JSON of the run configuration (config.md, "config"). */
  config: string;
  /** JSON of the manifest's annotations. */
  annotations: string;
  /** Digest of its manifest; null when an earlier version of this program recorded it. */
  manifest: string | null;
  sizeBytes: number;
  pinned: boolean;
  /** Removed, but still held by an owner. */
  hidden: boolean;
  /** Bottom layer first. */
  chainIds: string[];
  blobs: string[];
  tags: string[];
  digests: string[];
}

/** Everything that a finished pull adds. */
export interface NewImage {
  image: Omit<ImageRow, 'tags' | 'digests' | 'pinned' | 'hidden'>;
  blobs: { digest: string; size: number }[];
  layers: LayerRow[];
  tag?: string;
  digest?: string;
}

const schema = `
  CREATE TABLE IF NOT EXISTS blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS layers (
    chain_id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, disk_bytes INTEGER NOT NULL, inodes INTEGER NOT NULL,
    blob TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY, config TEXT NOT NULL, annotations TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0, hidden INTEGER NOT NULL DEFAULT 0,
    manifest TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS image_layers (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, position INTEGER NOT NULL, chain_id TEXT NOT NULL,
    PRIMARY KEY (image_id, position)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS image_blobs (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, digest TEXT NOT NULL, PRIMARY KEY (image_id, digest)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS names (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('tag', 'digest')),
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
  ) STRICT;
  CREATE TABLE IF NOT EXISTS uses (
    owner_id TEXT NOT NULL, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    PRIMARY KEY (owner_id, image_id)
  ) STRICT;
  PRAGMA user_version = 2;`;

/** From each version of the schema to the next. */
const migrations: Record<number, string> = {
  1: 'ALTER TABLE layers ADD COLUMN blob TEXT; ALTER TABLE images ADD COLUMN manifest TEXT; PRAGMA user_version = 2;',
};
const currentVersion = 2;

/** images.db: what is on disk, and why. Only finished things stand in it. */
export class ImageDatabase implements Disposable {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #reserve: DiskReserve;

  /** @throws ImageError store-version */
  constructor(path: string, reserve: DiskReserve) {
    this.#path = path;
    this.#reserve = reserve;
    this.#db = new DatabaseSync(path);
    try {
      // The index of the log is in memory then: opening needs no room on a full disk (field case LIF-11).
      this.#db.exec('PRAGMA locking_mode = EXCLUSIVE;');
      this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;');
      this.#upgrade();
    } catch (error) {
      // Its lock must not be in the way of another try.
      this.#db.close();
      throw error;
    }
  }

  /** Writes nothing when there is nothing to do: a full disk must not keep a store from opening. */
  #upgrade(): void {
    let version = this.#all('PRAGMA user_version')[0]!.user_version as number;
    if (version > currentVersion) {
      throw new ImageError(
        'store-version',
        `open ${JSON.stringify(this.#path)}: it has version ${version}, this program knows up to ${currentVersion}`,
      );
    }
    if (version === 0) this.#transaction(() => this.#db.exec(schema));
    else
      for (; version < currentVersion; version++)
        this.#transaction(() => this.#db.exec(migrations[version]!));
  }

  blobs(): { digest: string; size: number }[] {
    return this.#all('SELECT digest, size FROM blobs') as { digest: string; size: number }[];
  }

  layers(): LayerRow[] {
    return this.#all(
      'SELECT chain_id AS chainId, number, disk_bytes AS diskBytes, inodes, blob FROM layers',
    ) as unknown as LayerRow[];
  }

  images(): ImageRow[] {
    const lists = new Map<string, ImageRow>();
    for (const row of this.#all('SELECT * FROM images ORDER BY rowid')) {
      lists.set(row.id as string, {
        id: row.id as string,
        config: row.config as string,
        annotations: row.annotations as string,
        manifest: row.manifest as string | null,
        sizeBytes: row.size_bytes as number,
        pinned: row.pinned === 1,
        hidden: row.hidden === 1,
        chainIds: [],
        blobs: [],
        tags: [],
        digests: [],
      });
    }
    const each = (sql: string, add: (row: ImageRow, value: string, kind: unknown) => void) => {
      for (const { image_id, value, kind } of this.#all(sql))
        add(lists.get(image_id as string)!, value as string, kind);
    };
    each('SELECT image_id, chain_id AS value FROM image_layers ORDER BY image_id, position', (row, value) =>
      row.chainIds.push(value),
    );
    each('SELECT image_id, digest AS value FROM image_blobs', (row, value) => row.blobs.push(value));
    each('SELECT image_id, name AS value, kind FROM names ORDER BY name', (row, value, kind) =>
      (kind === 'tag' ? row.tags : row.digests).push(value),
    );
    return [...lists.values()];
  }

  uses(): { ownerId: string; imageId: string }[] {
    return this.#all('SELECT owner_id AS ownerId, image_id AS imageId FROM uses') as {
      ownerId: string;
      imageId: string;
    }[];
  }

  /** What it names must be on disk already. */
  addImage({ image, blobs, layers, tag, digest }: NewImage): void {
    this.#transaction(() => {
      for (const blob of blobs) {
        this.#run('INSERT OR IGNORE INTO blobs VALUES (?, ?)', blob.digest, blob.size);
      }
      for (const layer of layers) this.#insertLayer(layer);
      this.#run(
        `INSERT INTO images (id, config, annotations, size_bytes, manifest) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET hidden = 0, annotations = excluded.annotations, manifest = excluded.manifest,
           size_bytes = excluded.size_bytes`,
        image.id,
        image.config,
        image.annotations,
        image.sizeBytes,
        image.manifest,
      );
      image.chainIds.forEach((chainId, position) => {
        this.#run('INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?)', image.id, position, chainId);
      });
      for (const blob of image.blobs)
        this.#run('INSERT OR IGNORE INTO image_blobs VALUES (?, ?)', image.id, blob);
      const name = (text: string, kind: string) =>
        this.#run('INSERT OR REPLACE INTO names VALUES (?, ?, ?)', text, kind, image.id);
      if (tag !== undefined) name(tag, 'tag');
      if (digest !== undefined) name(digest, 'digest');
    });
  }

  /** The layer is in another directory from now on. */
  replaceLayer(layer: LayerRow): void {
    this.#transaction(() => {
      this.#run('DELETE FROM layers WHERE chain_id = ?', layer.chainId);
      this.#insertLayer(layer);
    });
  }

  #insertLayer({ chainId, number, diskBytes, inodes, blob }: LayerRow): void {
    this.#run(
      'INSERT OR IGNORE INTO layers (chain_id, number, disk_bytes, inodes, blob) VALUES (?, ?, ?, ?, ?)',
      chainId,
      number,
      diskBytes,
      inodes,
      blob,
    );
  }

  /** Takes the image's names; the row too unless it is held. */
  removeImage(id: string, { keepHidden }: { keepHidden: boolean }): void {
    this.#deletion(() => {
      this.#run('DELETE FROM names WHERE image_id = ?', id);
      if (keepHidden) this.#run('UPDATE images SET hidden = 1, pinned = 0 WHERE id = ?', id);
      else this.#run('DELETE FROM images WHERE id = ?', id);
    });
  }

  forget({ digests, chainIds }: { digests: readonly string[]; chainIds: readonly string[] }): void {
    this.#deletion(() => {
      for (const digest of digests) this.#run('DELETE FROM blobs WHERE digest = ?', digest);
      for (const chainId of chainIds) this.#run('DELETE FROM layers WHERE chain_id = ?', chainId);
    });
  }

  setPinned(id: string, pinned: boolean): void {
    this.#run('UPDATE images SET pinned = ? WHERE id = ?', pinned ? 1 : 0, id);
  }

  addUse(ownerId: string, imageId: string): void {
    this.#run('INSERT OR IGNORE INTO uses VALUES (?, ?)', ownerId, imageId);
  }

  removeUse(ownerId: string, imageId: string | undefined): void {
    this.#deletion(() => {
      if (imageId === undefined) this.#run('DELETE FROM uses WHERE owner_id = ?', ownerId);
      else this.#run('DELETE FROM uses WHERE owner_id = ? AND image_id = ?', ownerId, imageId);
    });
  }

  /**
   * Every change so far outlives a power cut when it resolves. SQLite would sync the same file on the main thread, which a
   * busy disk can hold up for a second.
   */
  async flush(): Promise<void> {
    await using log = await open(`${this.#path}-wal`, 'r');
    await log.datasync();
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  #transaction(change: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      change();
      this.#db.exec('COMMIT');
    } catch (error) {
      // A full disk makes SQLite roll back by itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** A change that makes room, or lets others do so. */
  #deletion(change: () => void): void {
    this.#reserve.use(() => this.#transaction(change));
  }

  #run(sql: string, ...values: (string | number | null)[]): void {
    this.#statement(sql).run(...values);
  }

  #all(sql: string): Record<string, unknown>[] {
    return this.#statement(sql).all();
  }

  readonly #statements = new Map<string, ReturnType<DatabaseSync['prepare']>>();

  #statement(sql: string): ReturnType<DatabaseSync['prepare']> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
