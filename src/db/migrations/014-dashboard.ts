import type { Migration } from './migration.ts';

/** What the web page needs: who is signed in, who did what, how pools were, workers that are kept. */
export const dashboard: Migration = {
  id: 14,
  breaking: true,
  sql: `
CREATE TABLE web_sessions (
  hash TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  token_id TEXT,
  created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE sign_ins (
  state TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at BIGINT NOT NULL,
  who TEXT NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT,
  status INTEGER NOT NULL,
  address TEXT
);
CREATE TABLE pool_samples (
  pool TEXT NOT NULL,
  at BIGINT NOT NULL,
  ready INTEGER NOT NULL,
  preparing INTEGER NOT NULL,
  busy INTEGER NOT NULL,
  queued INTEGER NOT NULL,
  want_ready INTEGER NOT NULL,
  max INTEGER NOT NULL,
  PRIMARY KEY (pool, at)
);
CREATE INDEX pool_samples_at ON pool_samples (at);
CREATE TABLE consoles (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  worker_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  controller_id TEXT NOT NULL,
  who TEXT NOT NULL,
  cols INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  opened_at BIGINT NOT NULL,
  ended_at BIGINT,
  bytes BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX events_of ON events (subject);
CREATE INDEX consoles_open ON consoles (host_id) WHERE ended_at IS NULL;
ALTER TABLE jobs ADD COLUMN warm INTEGER;
ALTER TABLE jobs ADD COLUMN ran_in TEXT;
ALTER TABLE jobs ADD COLUMN keep_ms BIGINT;
ALTER TABLE workers ADD COLUMN kept_until BIGINT;
`,
};
