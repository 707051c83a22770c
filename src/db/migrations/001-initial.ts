import type { Migration } from './migration.ts';

export const initial: Migration = {
  id: 1,
  breaking: true,
  sql: `
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE pools (
  name TEXT PRIMARY KEY,
  origin TEXT NOT NULL,
  spec TEXT NOT NULL
);
CREATE TABLE hosts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  credential_hash TEXT NOT NULL UNIQUE,
  facts TEXT,
  agent_version TEXT,
  disk_free_bytes BIGINT,
  last_seen_at BIGINT,
  created_at BIGINT NOT NULL
);
CREATE TABLE workers (
  id TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL,
  pool TEXT NOT NULL,
  host_id TEXT NOT NULL,
  state TEXT NOT NULL,
  goal TEXT NOT NULL,
  spec TEXT NOT NULL,
  spec_key TEXT NOT NULL,
  job_id TEXT,
  reason TEXT,
  created_at BIGINT NOT NULL,
  ready_at BIGINT,
  updated_at BIGINT NOT NULL
);
CREATE INDEX workers_live ON workers (host_id) WHERE state <> 'destroyed';
CREATE INDEX workers_gone ON workers (updated_at) WHERE state = 'destroyed';
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  outcome TEXT,
  exit_code INTEGER,
  reason TEXT,
  title TEXT,
  pool TEXT,
  labels TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  retries_left INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  worker_id TEXT,
  host_name TEXT,
  submitted_at BIGINT NOT NULL,
  assigned_at BIGINT,
  started_at BIGINT,
  finished_at BIGINT,
  log_bytes BIGINT NOT NULL,
  idempotency_key TEXT UNIQUE,
  request_hash TEXT
);
CREATE INDEX jobs_queued ON jobs (priority DESC, id) WHERE state = 'queued';
CREATE INDEX jobs_open ON jobs (state) WHERE state <> 'finished';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'finished';
CREATE TABLE artifacts (
  job_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  path TEXT NOT NULL,
  size BIGINT NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (job_id, epoch, path)
);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT
);
CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT
);
CREATE TABLE join_tokens (
  hash TEXT PRIMARY KEY,
  expires_at BIGINT NOT NULL,
  uses_left INTEGER NOT NULL
);
CREATE TABLE secrets (
  name TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);
`,
};
