import { DatabaseSync } from 'node:sqlite';

const VERSION = 2;

const TABLES = `
  CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  -- What the store has, or is getting ('committing') or losing ('deleting') by 'owner'.
  CREATE TABLE results (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('committing', 'ready', 'deleting')),
    owner TEXT,
    parent TEXT,
    heading TEXT NOT NULL,
    config TEXT,
    log TEXT,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    boot TEXT NOT NULL,
    flushed INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX results_by_parent ON results (parent);
  CREATE INDEX results_by_use ON results (used_at);
  CREATE INDEX results_changing ON results (state) WHERE state <> 'ready';
  CREATE INDEX results_to_flush ON results (boot) WHERE flushed = 0;

  -- Results that a build at work needs.
  CREATE TABLE uses (id TEXT NOT NULL, owner TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (id, owner)) STRICT, WITHOUT ROWID;

  -- Results that are kept whatever their age, by name.
  CREATE TABLE pins (name TEXT PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX pins_by_id ON pins (id);

  -- Steps that are being made, each by one owner; 'attempt' counts over all of them.
  CREATE TABLE flights (id TEXT PRIMARY KEY, owner TEXT NOT NULL, attempt INTEGER NOT NULL,
    log TEXT NOT NULL) STRICT, WITHOUT ROWID;
  -- Builds of other owners that wait for a flight.
  CREATE TABLE waiters (id TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (id, owner))
    STRICT, WITHOUT ROWID;
  -- How flights ended that made nothing.
  CREATE TABLE failures (id TEXT NOT NULL, attempt INTEGER NOT NULL, heading TEXT NOT NULL,
    ending TEXT NOT NULL, log TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (id, attempt))
    STRICT, WITHOUT ROWID;

  -- The newest version of each cache; older ones are there as long as someone reads them.
  CREATE TABLE caches (name TEXT PRIMARY KEY, version TEXT NOT NULL, used_at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
  CREATE TABLE cache_uses (version TEXT NOT NULL, owner TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (version, owner)) STRICT, WITHOUT ROWID;

  -- Hashes of files' content by what their file system says of them.
  CREATE TABLE contents (root TEXT NOT NULL, path BLOB NOT NULL, stat TEXT NOT NULL,
    sha256 TEXT NOT NULL, PRIMARY KEY (root, path)) STRICT, WITHOUT ROWID;
`;

/** Since version 2. */
const HINTS = `
  -- What builds asked for from elsewhere call their steps, to be found again by it.
  CREATE TABLE hints (hint TEXT PRIMARY KEY, id TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX hints_by_id ON hints (id);
`;

/** Thrown for an index that this program cannot work with. */
export class IndexError extends Error {
  readonly code = 'index';
}

/** Opens (or makes) the database that several processes share. Throws `IndexError`. */
export function openIndexDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA busy_timeout = 10000');
  db.exec('PRAGMA journal_mode = WAL');
  db.exec('PRAGMA synchronous = NORMAL');
  db.exec('BEGIN IMMEDIATE');
  try {
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as {
      user_version: number;
    };
    if (version > VERSION) {
      throw new IndexError(`${path} was made by a newer version of Pomona; update this one`);
    }
    if (version < 1) db.exec(TABLES);
    if (version < 2) db.exec(HINTS);
    if (version < VERSION) db.exec(`PRAGMA user_version = ${VERSION}`);
    db.exec('COMMIT');
  } catch (error) {
    db.exec('ROLLBACK');
    db.close();
    throw error;
  }
  return db;
}
