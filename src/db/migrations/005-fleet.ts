import type { Migration } from './migration.ts';

/** What the scheduler looks at besides: urgent jobs, jobs of one host, and hosts' wear. */
export const fleet: Migration = {
  id: 5,
  breaking: true,
  sql: `
ALTER TABLE jobs ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN wanted_host TEXT;
ALTER TABLE hosts ADD COLUMN wear INTEGER NOT NULL DEFAULT 0;
DROP INDEX jobs_queued;
DROP INDEX jobs_queued_by_team;
`,
};
