import type { Migration } from './migration.ts';

/** Roll-outs of images to pools, and what became of the workers of both images meanwhile. */
export const rollouts: Migration = {
  id: 3,
  breaking: true,
  sql: `
CREATE TABLE rollouts (
  pool TEXT PRIMARY KEY,
  from_image TEXT NOT NULL,
  to_image TEXT NOT NULL,
  state TEXT NOT NULL,
  stages TEXT NOT NULL,
  stage INTEGER NOT NULL,
  trials INTEGER NOT NULL,
  reason TEXT,
  started_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE rollout_tallies (
  pool TEXT NOT NULL,
  image TEXT NOT NULL,
  made INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  jobs INTEGER NOT NULL DEFAULT 0,
  jobs_failed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (pool, image)
);
`,
};
