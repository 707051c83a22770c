import type { Migration } from './migration.ts';

/** Why a host is in its state and until when, and what became of the work it had lately. */
export const hostCare: Migration = {
  id: 7,
  breaking: true,
  sql: `
ALTER TABLE hosts ADD COLUMN state_reason TEXT;
ALTER TABLE hosts ADD COLUMN drain_by BIGINT;
ALTER TABLE hosts ADD COLUMN quarantined_until BIGINT;
ALTER TABLE hosts ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE host_outcomes (
  host_id TEXT NOT NULL,
  pool TEXT NOT NULL,
  at BIGINT NOT NULL,
  failed INTEGER NOT NULL
);
CREATE INDEX host_outcomes_of ON host_outcomes (host_id, pool, at);
CREATE INDEX host_outcomes_in ON host_outcomes (pool, at);
`,
};
