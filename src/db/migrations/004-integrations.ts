import type { Migration } from './migration.ts';

/**
 * What CI systems want (`ci_jobs`) and the runners made for it (`ci_runners`, one for each
 * hand-over of a job of ours). A runner's class is JSON with the job, so that it outlives changes of
 * the configuration.
 */
export const integrations: Migration = {
  id: 4,
  breaking: true,
  sql: `
ALTER TABLE jobs ADD COLUMN trust TEXT;
ALTER TABLE jobs ADD COLUMN team TEXT;
ALTER TABLE jobs ADD COLUMN integration TEXT;
ALTER TABLE jobs ADD COLUMN runner_class TEXT;
CREATE INDEX jobs_queued_by_team ON jobs (COALESCE(team, ''), priority DESC, id) WHERE state = 'queued';
CREATE INDEX jobs_of_integrations ON jobs (integration) WHERE integration IS NOT NULL AND state <> 'finished';
CREATE TABLE ci_jobs (
  integration TEXT NOT NULL,
  key TEXT NOT NULL,
  state TEXT NOT NULL,
  runner TEXT,
  labels TEXT NOT NULL,
  source TEXT NOT NULL,
  title TEXT NOT NULL,
  url TEXT,
  event TEXT NOT NULL,
  class_group TEXT,
  queued_at BIGINT,
  first_seen_at BIGINT NOT NULL,
  started_at BIGINT,
  gone_at BIGINT,
  missing_since BIGINT,
  PRIMARY KEY (integration, key)
);
CREATE INDEX ci_jobs_open ON ci_jobs (integration) WHERE state <> 'gone';
CREATE INDEX ci_jobs_gone ON ci_jobs (gone_at) WHERE state = 'gone';
CREATE TABLE ci_runners (
  name TEXT PRIMARY KEY,
  integration TEXT NOT NULL,
  class_id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  worker_id TEXT NOT NULL,
  external_id TEXT,
  sealed TEXT,
  state TEXT NOT NULL,
  reason TEXT,
  took TEXT,
  failed INTEGER NOT NULL DEFAULT 0,
  prepared_at BIGINT NOT NULL,
  seen_at BIGINT,
  took_at BIGINT,
  absent_since BIGINT,
  removed_at BIGINT
);
CREATE INDEX ci_runners_open ON ci_runners (integration) WHERE state <> 'removed';
CREATE INDEX ci_runners_of_jobs ON ci_runners (job_id, epoch);
CREATE INDEX ci_runners_removed ON ci_runners (integration, class_id, removed_at) WHERE state = 'removed';
CREATE TABLE ci_deliveries (
  integration TEXT NOT NULL,
  id TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (integration, id)
);
CREATE TABLE ci_pauses (
  integration TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  at BIGINT NOT NULL
);
`,
};
