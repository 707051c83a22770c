import type { Migration } from './migration.ts';

/** How many jobs asked for workers of a pool, by slots of time. */
export const demand: Migration = {
  id: 8,
  breaking: true,
  sql: `
CREATE TABLE demand (
  pool TEXT NOT NULL,
  slot BIGINT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (pool, slot)
);
`,
};
