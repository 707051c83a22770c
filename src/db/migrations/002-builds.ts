import type { Migration } from './migration.ts';

/** What the scheduler looks at of a job that builds a spec: JSON; null for all other jobs. */
export const builds: Migration = {
  id: 2,
  breaking: true,
  sql: 'ALTER TABLE jobs ADD COLUMN build TEXT',
};
