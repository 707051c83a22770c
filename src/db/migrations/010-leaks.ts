import type { Migration } from './migration.ts';

/** What was found that belongs to nothing, by who found it. */
export const leaks: Migration = {
  id: 10,
  breaking: false,
  sql: `
CREATE TABLE leaks (
  source TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  since BIGINT NOT NULL,
  problem TEXT,
  PRIMARY KEY (source, kind, name)
);
`,
};
