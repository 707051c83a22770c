import type { CiJob } from '../../../domain/ci/ci-job.ts';
import type { Queryable } from '../../database.ts';

/** A job as a CI system has it. Forward only: queued, running, gone; `gone` stays to be known by. */
export interface CiJobRow {
  readonly integration: string;
  readonly key: string;
  readonly state: 'queued' | 'running' | 'gone';
  readonly runner: string | null;
  readonly labels: string;
  readonly source: string;
  readonly title: string;
  readonly url: string | null;
  readonly event: string;
  readonly class_group: string | null;
  readonly queued_at: number | null;
  readonly first_seen_at: number;
  readonly started_at: number | null;
  readonly gone_at: number | null;
  /** It was not in a complete look that began after this time. */
  readonly missing_since: number | null;
}

export function ciJobOf(row: CiJobRow): CiJob {
  return {
    ...{ key: row.key, state: row.state === 'running' ? 'running' : 'queued' },
    ...{ labels: JSON.parse(row.labels) as string[], source: row.source, title: row.title },
    event: JSON.parse(row.event) as CiJob['event'],
    ...(row.runner === null ? {} : { runner: row.runner }),
    ...(row.url === null ? {} : { url: row.url }),
    ...(row.queued_at === null ? {} : { queuedAt: row.queued_at }),
    ...(row.class_group === null ? {} : { group: row.class_group }),
  };
}

export function findCiJob(
  db: Queryable,
  integration: string,
  key: string,
): Promise<CiJobRow | undefined> {
  return db.get('SELECT * FROM ci_jobs WHERE integration = $1 AND key = $2', [integration, key]);
}

/** Jobs that wait or run, those that wait longest first. */
export function openCiJobs(db: Queryable, integration: string): Promise<CiJobRow[]> {
  return db.all(
    `SELECT * FROM ci_jobs WHERE integration = $1 AND state <> 'gone'
     ORDER BY first_seen_at, key`,
    [integration],
  );
}

/** Records what is known of a job now; when it was first seen stays. */
export async function saveCiJob(
  db: Queryable,
  integration: string,
  job: CiJob,
  now: number,
): Promise<void> {
  await db.run(
    `INSERT INTO ci_jobs (integration, key, state, runner, labels, source, title, url, event,
       class_group, queued_at, first_seen_at, started_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     ON CONFLICT (integration, key) DO UPDATE SET state = $3,
       runner = COALESCE($4, ci_jobs.runner), labels = $5, source = $6, title = $7, url = $8,
       event = $9, class_group = $10, started_at = COALESCE(ci_jobs.started_at, $13),
       gone_at = NULL, missing_since = NULL`,
    [
      ...[integration, job.key, job.state, job.runner, JSON.stringify(job.labels), job.source],
      ...[job.title, job.url, JSON.stringify(job.event), job.group, job.queuedAt, now],
      job.state === 'running' ? now : null,
    ],
  );
}

/** Records that a job is over, known before or not. */
export async function endCiJob(
  db: Queryable,
  integration: string,
  key: string,
  now: number,
): Promise<void> {
  await db.run(
    `INSERT INTO ci_jobs (integration, key, state, labels, source, title, event, first_seen_at, gone_at)
     VALUES ($1, $2, 'gone', '[]', '', '', '{"name":"unknown","fork":false}', $3, $3)
     ON CONFLICT (integration, key) DO UPDATE SET state = 'gone', gone_at = $3`,
    [integration, key, now],
  );
}

export async function missCiJob(
  db: Queryable,
  integration: string,
  key: string,
  since: number,
): Promise<void> {
  await db.run('UPDATE ci_jobs SET missing_since = $3 WHERE integration = $1 AND key = $2', [
    ...[integration, key, since],
  ]);
}

export async function deleteCiJobsGoneBefore(db: Queryable, before: number): Promise<void> {
  await db.run("DELETE FROM ci_jobs WHERE state = 'gone' AND gone_at < $1", [before]);
}

/** Remembers a delivery. False when it was remembered before. */
export async function noteDelivery(
  db: Queryable,
  delivery: { integration: string; id: string; at: number },
): Promise<boolean> {
  const { integration, id, at } = delivery;
  const changed = await db.run(
    'INSERT INTO ci_deliveries (integration, id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
    [integration, id, at],
  );
  return changed === 1;
}

export async function knowsDelivery(
  db: Queryable,
  integration: string,
  id: string,
): Promise<boolean> {
  const row = await db.get('SELECT 1 AS n FROM ci_deliveries WHERE integration = $1 AND id = $2', [
    ...[integration, id],
  ]);
  return row !== undefined;
}

export async function deleteDeliveriesBefore(db: Queryable, before: number): Promise<void> {
  await db.run('DELETE FROM ci_deliveries WHERE at < $1', [before]);
}

/** Times from the moment a job was first seen to its start on a runner, newest first. */
export function startTimes(
  db: Queryable,
  integration: string,
  limit: number,
): Promise<{ ms: number }[]> {
  return db.all(
    `SELECT started_at - first_seen_at AS ms FROM ci_jobs
     WHERE integration = $1 AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT $2`,
    [integration, limit],
  );
}

/** What became of the jobs of a group, where that is known by their runner. */
export async function setCiJobsOfGroup(
  db: Queryable,
  change: {
    integration: string;
    group: string;
    state: CiJobRow['state'];
    runner: string | null;
    now: number;
  },
): Promise<void> {
  const { integration, group, state, runner, now } = change;
  await db.run(
    `UPDATE ci_jobs SET state = $3, runner = COALESCE($4, runner),
       started_at = CASE WHEN $3 = 'running' THEN COALESCE(started_at, $5) ELSE started_at END,
       gone_at = CASE WHEN $3 = 'gone' THEN $5 ELSE NULL END
     WHERE integration = $1 AND class_group = $2 AND state <> 'gone'`,
    [integration, group, state, runner, now],
  );
}
