import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { DiskReserve } from './disk-reserve.ts';
import { ImageDatabase } from './image-database.ts';

function scratch(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/amphipod-image-db-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function run(path: string, sql: string): unknown[] {
  const db = new DatabaseSync(path);
  try {
    db.exec(sql);
    return db.prepare('PRAGMA user_version').all();
  } finally {
    db.close();
  }
}

/** As the first version of this program made it. */
const versionOne = `
  CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;
  CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, disk_bytes INTEGER NOT NULL, inodes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE images (
    id TEXT PRIMARY KEY, config TEXT NOT NULL, annotations TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0, hidden INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, position INTEGER NOT NULL, chain_id TEXT NOT NULL,
    PRIMARY KEY (image_id, position)
  ) STRICT;
  CREATE TABLE image_blobs (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, digest TEXT NOT NULL, PRIMARY KEY (image_id, digest)
  ) STRICT;
  CREATE TABLE names (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('tag', 'digest')),
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
  ) STRICT;
  CREATE TABLE uses (
    owner_id TEXT NOT NULL, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, PRIMARY KEY (owner_id, image_id)
  ) STRICT;
  INSERT INTO images (id, config, annotations, size_bytes) VALUES ('i', '{}', '{}', 5);
  INSERT INTO layers VALUES ('c', 3, 4096, 1);
  PRAGMA user_version = 1;`;

test('a database of the first version is taken over; what it did not know is not known', (t) => {
  const path = `${scratch(t)}/images.db`;
  run(path, versionOne);
  {
    using db = new ImageDatabase(path, new DiskReserve(`${path}-reserve`));
    assert.deepEqual(
      { ...db.layers()[0] },
      { chainId: 'c', number: 3, diskBytes: 4096, inodes: 1, blob: null },
    );
    assert.deepEqual([db.images()[0]!.id, db.images()[0]!.manifest], ['i', null]);
    const image = { ...db.images()[0]!, manifest: 'm' };
    db.addImage({ image, blobs: [], layers: [] });
    db.replaceLayer({ chainId: 'c', number: 4, diskBytes: 1, inodes: 1, blob: 'b' });
  }
  using again = new ImageDatabase(path, new DiskReserve(`${path}-reserve`));
  assert.deepEqual(
    [again.images()[0]!.manifest, again.layers()[0]!.blob, again.layers()[0]!.number],
    ['m', 'b', 4],
  );
});

test('a database of a later version is refused, and left as it is', (t) => {
  const path = `${scratch(t)}/images.db`;
  run(path, 'CREATE TABLE other (x); PRAGMA user_version = 99;');
  assert.throws(() => new ImageDatabase(path, new DiskReserve(`${path}-reserve`)), {
    code: 'store-version',
    message: /it has version 99, this program knows up to 2/,
  });
  assert.deepEqual(
    run(path, 'SELECT 1').map((row) => ({ ...(row as object) })),
    [{ user_version: 99 }],
  );
});
