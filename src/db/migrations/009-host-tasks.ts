import type { Migration } from './migration.ts';

/** What a host is to do to itself. */
export const hostTasks: Migration = {
  id: 9,
  breaking: true,
  sql: `
ALTER TABLE hosts ADD COLUMN task TEXT;
`,
};
