import type { Migration } from './migration.ts';

/** When it was told that a host is out of touch; until it has a session again. */
export const lostHosts: Migration = {
  id: 13,
  breaking: true,
  sql: `
ALTER TABLE hosts ADD COLUMN lost_at BIGINT;
`,
};
