import type { Migration } from './migration.ts';

/**
 * Several controllers: what each holds for a while, which of them has a host's session, and where
 * workers failed to start, which any of them may hear.
 */
export const controllers: Migration = {
  id: 6,
  breaking: true,
  sql: `
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE backoffs (
  place TEXT PRIMARY KEY,
  failures INTEGER NOT NULL,
  until BIGINT NOT NULL,
  reason TEXT NOT NULL
);
ALTER TABLE hosts ADD COLUMN session_holder TEXT;
ALTER TABLE hosts ADD COLUMN session_no BIGINT NOT NULL DEFAULT 0;
`,
};
