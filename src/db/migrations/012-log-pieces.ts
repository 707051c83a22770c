import type { Migration } from './migration.ts';

/** Logs that are kept in a blob store: what is not there yet, and which objects there are. */
export const logPieces: Migration = {
  id: 12,
  breaking: false,
  sql: `
CREATE TABLE log_pieces (
  job_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  start_at BIGINT NOT NULL,
  size INTEGER NOT NULL,
  bytes TEXT NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (job_id, epoch, start_at)
);
CREATE TABLE log_segments (
  job_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  start_at BIGINT NOT NULL,
  end_at BIGINT NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (job_id, epoch, start_at)
);
`,
};
