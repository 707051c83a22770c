import type { Migration } from './migration.ts';

/** Roll-outs to hosts, and how far each host is. */
export const hostRollouts: Migration = {
  id: 11,
  breaking: false,
  sql: `
CREATE TABLE host_rollouts (
  what TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  labels TEXT NOT NULL,
  state TEXT NOT NULL,
  rings TEXT NOT NULL,
  ring INTEGER NOT NULL,
  ring_done_at BIGINT,
  at_once INTEGER NOT NULL,
  soak_ms BIGINT NOT NULL,
  within_ms BIGINT,
  reason TEXT,
  started_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE host_rollout_hosts (
  what TEXT NOT NULL,
  host_id TEXT NOT NULL,
  state TEXT NOT NULL,
  before TEXT,
  detail TEXT,
  since BIGINT NOT NULL,
  PRIMARY KEY (what, host_id)
);
`,
};
