/**
 * The tables of the embedded datastore. `history` holds the last changes, oldest first, for watches that begin in the past;
 * `meta` and `identity` have one row each. A value that is NULL in `history` is a deletion.
 */
export const schema = `
CREATE TABLE IF NOT EXISTS meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  revision INTEGER NOT NULL,
  compacted INTEGER NOT NULL,
  last_lease INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL, expires_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  revision INTEGER NOT NULL,
  lease_id INTEGER REFERENCES leases (id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_lease ON entries (lease_id) WHERE lease_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS history (
  revision INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT,
  lease_id INTEGER,
  PRIMARY KEY (revision, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id INTEGER NOT NULL);
INSERT OR IGNORE INTO identity (one, id) VALUES (1, (random() & 0x3fffffffffffffff) + 1);
INSERT OR IGNORE INTO meta (id, revision, compacted, last_lease) VALUES (1, 1, 0, 0);
`;
