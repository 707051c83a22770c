import type { BuildOrder, BuildWish } from '../../domain/build.ts';
import type { Trust } from '../../domain/ci/ci-job.ts';
import type { JobOutcome, JobState, Payload } from '../../domain/job.ts';
import type { Queryable } from '../database.ts';

export interface JobRow {
  readonly id: string;
  readonly state: JobState;
  readonly outcome: JobOutcome | null;
  readonly exit_code: number | null;
  readonly reason: string | null;
  readonly title: string | null;
  readonly pool: string | null;
  readonly labels: string;
  readonly payload: string;
  readonly priority: number;
  readonly retries: number;
  readonly retries_left: number;
  readonly epoch: number;
  readonly cancel_requested: number;
  readonly worker_id: string | null;
  readonly host_name: string | null;
  readonly submitted_at: number;
  readonly assigned_at: number | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly log_bytes: number;
  readonly idempotency_key: string | null;
  readonly request_hash: string | null;
  /** JSON of what the scheduler looks at of a build; null for other jobs. */
  readonly build: string | null;
  /** Whose code it runs; null where nobody said. */
  readonly trust: Trust | null;
  readonly team: string | null;
  /** 1: it goes before all others. */
  readonly urgent: number;
  /** Name of the only host where it may run. */
  readonly wanted_host: string | null;
  /** Name of the integration whose runner it is, and JSON of that runner's class. */
  readonly integration: string | null;
  readonly runner_class: string | null;
  /** 1: the worker that it was given to was ready when it was submitted; null: it has had none. */
  readonly warm: number | null;
  /** Pool of that worker. */
  readonly ran_in: string | null;
  /** How long its worker stays when it has ended, ms; null: it goes at once. */
  readonly keep_ms: number | null;
}

export function payloadOf(row: Pick<JobRow, 'payload'>): Payload {
  return JSON.parse(row.payload) as Payload;
}

export function labelsOf(row: Pick<JobRow, 'labels'>): string[] {
  return JSON.parse(row.labels) as string[];
}

export async function insertJob(
  db: Queryable,
  job: Pick<
    JobRow,
    | 'id'
    | 'title'
    | 'pool'
    | 'priority'
    | 'retries'
    | 'submitted_at'
    | 'idempotency_key'
    | 'request_hash'
  > &
    Partial<
      Pick<JobRow, 'trust' | 'team' | 'integration' | 'runner_class' | 'urgent' | 'wanted_host'>
    > & {
      labels: readonly string[];
      payload: Payload;
    },
): Promise<void> {
  await db.run(
    `INSERT INTO jobs (id, state, title, pool, labels, payload, priority, retries, retries_left,
       epoch, cancel_requested, submitted_at, log_bytes, idempotency_key, request_hash, build,
       trust, team, integration, runner_class, urgent, wanted_host)
     VALUES ($1, 'queued', $2, $3, $4, $5, $6, $7, $7, 0, 0, $8, 0, $9, $10, $11, $12, $13, $14, $15,
       $16, $17)`,
    [
      job.id,
      job.title,
      job.pool,
      JSON.stringify(job.labels),
      JSON.stringify(job.payload),
      job.priority,
      job.retries,
      job.submitted_at,
      job.idempotency_key,
      job.request_hash,
      job.payload.build === undefined ? null : JSON.stringify(wishOf(job.payload.build)),
      ...[job.trust, job.team, job.integration, job.runner_class],
      ...[job.urgent ?? 0, job.wanted_host],
    ],
  );
}

function wishOf({ store, hints }: BuildOrder): BuildWish {
  return { hints, ...(store === undefined ? {} : { store }) };
}

export function buildOf(row: Pick<JobRow, 'build'>): BuildWish | undefined {
  return row.build === null ? undefined : (JSON.parse(row.build) as BuildWish);
}

export function findJob(db: Queryable, id: string): Promise<JobRow | undefined> {
  return db.get('SELECT * FROM jobs WHERE id = $1', [id]);
}

export function findJobByKey(db: Queryable, key: string): Promise<JobRow | undefined> {
  return db.get('SELECT * FROM jobs WHERE idempotency_key = $1', [key]);
}

/** Left out: any. */
export interface JobFilter {
  readonly state?: string | undefined;
  readonly outcome?: string | undefined;
  /** That it ran in, or has to. */
  readonly pool?: string | undefined;
  readonly host?: string | undefined;
  /** Only those that build specs. */
  readonly builds?: boolean | undefined;
  /** Part of its title or its id. */
  readonly search?: string | undefined;
  /** Only jobs older than this one. */
  readonly before?: string | undefined;
}

function escapeLike(text: string): string {
  return text.replaceAll(/[!%_]/g, (sign) => `!${sign}`);
}

/** Newest first. Ids sort by age, so the id is the cursor. */
export function listJobs(db: Queryable, filter: JobFilter, limit: number): Promise<JobRow[]> {
  const { state, outcome, pool, host, builds = false, search, before } = filter;
  const like = search === undefined ? undefined : `%${escapeLike(search.toLowerCase())}%`;
  return db.all(
    `SELECT * FROM jobs
     WHERE (CAST($1 AS TEXT) IS NULL OR state = $1)
       AND (CAST($2 AS TEXT) IS NULL OR COALESCE(ran_in, pool) = $2)
       AND (CAST($3 AS TEXT) IS NULL OR id < $3)
       AND (CAST($5 AS TEXT) IS NULL OR outcome = $5)
       AND (CAST($6 AS TEXT) IS NULL OR host_name = $6)
       AND (CAST($7 AS TEXT) IS NULL OR LOWER(COALESCE(title, '') || ' ' || id)
         LIKE $7 ESCAPE '!')
       AND (CAST($8 AS INTEGER) = 0 OR build IS NOT NULL)
     ORDER BY id DESC LIMIT $4`,
    [state, pool, before, limit, outcome, host, like, builds ? 1 : 0],
  );
}

/** Those that are not finished, oldest first. */
export function openJobRows(db: Queryable, limit: number): Promise<JobRow[]> {
  return db.all("SELECT * FROM jobs WHERE state <> 'finished' ORDER BY id LIMIT $1", [limit]);
}

/** Those that finished last. */
export function recentlyFinished(db: Queryable, limit: number): Promise<JobRow[]> {
  return db.all("SELECT * FROM jobs WHERE state = 'finished' ORDER BY finished_at DESC LIMIT $1", [
    limit,
  ]);
}

/** What the scheduler looks at of a job that is not finished. */
export type OpenJobRow = Pick<
  JobRow,
  | 'id'
  | 'state'
  | 'pool'
  | 'labels'
  | 'build'
  | 'trust'
  | 'priority'
  | 'team'
  | 'urgent'
  | 'wanted_host'
> & {
  /** Of its worker. */
  readonly worker_pool: string | null;
};

const OPEN_JOB = `SELECT j.id, j.state, j.pool, j.labels, j.build, j.trust, j.priority, j.team,
    j.urgent, j.wanted_host, w.pool AS worker_pool
  FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id
  WHERE j.state <> 'finished'`;

export function openJobs(db: Queryable): Promise<OpenJobRow[]> {
  return db.all(OPEN_JOB);
}

export function findOpenJob(db: Queryable, id: string): Promise<OpenJobRow | undefined> {
  return db.get(`${OPEN_JOB} AND j.id = $1`, [id]);
}

export function countQueuedByPool(
  db: Queryable,
): Promise<{ pool: string | null; labels: string; build: string | null; n: number }[]> {
  return db.all(
    `SELECT pool, labels, MIN(build) AS build, COUNT(*) AS n FROM jobs WHERE state = 'queued'
     GROUP BY pool, labels, build IS NULL`,
  );
}

export function countJobsByState(db: Queryable): Promise<{ state: JobState; n: number }[]> {
  return db.all("SELECT state, COUNT(*) AS n FROM jobs WHERE state <> 'finished' GROUP BY state");
}

/** Says what the job is to execute, once that is known. */
export async function setPayload(db: Queryable, id: string, payload: Payload): Promise<void> {
  await db.run('UPDATE jobs SET payload = $2 WHERE id = $1', [id, JSON.stringify(payload)]);
}

/** Queued to assigned, under the next epoch. Returns false when the job is not queued any more. */
export async function assignJob(
  db: Queryable,
  job: {
    id: string;
    workerId: string;
    hostName: string;
    pool: string;
    warm: boolean;
    now: number;
  },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE jobs SET state = 'assigned', epoch = epoch + 1, worker_id = $2, host_name = $3,
       assigned_at = $4, log_bytes = 0, reason = NULL, ran_in = $5, warm = $6
     WHERE id = $1 AND state = 'queued'`,
    [job.id, job.workerId, job.hostName, job.now, job.pool, job.warm ? 1 : 0],
  );
  return changed === 1;
}

export async function startJob(
  db: Queryable,
  job: { id: string; workerId: string; startedAt: number },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE jobs SET state = 'running', started_at = $3
     WHERE id = $1 AND worker_id = $2 AND state = 'assigned'`,
    [job.id, job.workerId, job.startedAt],
  );
  return changed === 1;
}

/** Back to the queue, having lost its worker. `spent`: it costs one of the job's retries. */
export async function requeueJob(
  db: Queryable,
  job: { id: string; reason: string; spent: boolean },
): Promise<void> {
  await db.run(
    `UPDATE jobs SET state = 'queued', worker_id = NULL, host_name = NULL, assigned_at = NULL,
       started_at = NULL, reason = $2, retries_left = retries_left - $3
     WHERE id = $1 AND state IN ('assigned', 'running')`,
    [job.id, job.reason, job.spent ? 1 : 0],
  );
}

export async function finishJob(
  db: Queryable,
  job: {
    id: string;
    outcome: JobOutcome;
    exitCode: number | undefined;
    reason: string | undefined;
    startedAt: number | undefined;
    finishedAt: number;
    logBytes: number | undefined;
  },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE jobs SET state = 'finished', outcome = $2, exit_code = $3, reason = $4,
       started_at = COALESCE(started_at, $5), finished_at = $6, log_bytes = COALESCE($7, log_bytes)
     WHERE id = $1 AND state <> 'finished'`,
    [job.id, job.outcome, job.exitCode, job.reason, job.startedAt, job.finishedAt, job.logBytes],
  );
  return changed === 1;
}

/** How long its worker is to stay once it has ended; null: not at all. */
export async function setKeep(db: Queryable, id: string, ms: number | null): Promise<void> {
  await db.run('UPDATE jobs SET keep_ms = $2 WHERE id = $1', [id, ms]);
}

export async function requestCancel(db: Queryable, id: string): Promise<void> {
  await db.run("UPDATE jobs SET cancel_requested = 1 WHERE id = $1 AND state <> 'finished'", [id]);
}

export async function forgetOldKeys(db: Queryable, before: number): Promise<void> {
  await db.run(
    `UPDATE jobs SET idempotency_key = NULL, request_hash = NULL
     WHERE idempotency_key IS NOT NULL AND submitted_at < $1`,
    [before],
  );
}

/** Finished jobs that ended before a time, oldest first. */
export function jobsFinishedBefore(
  db: Queryable,
  before: number,
  limit: number,
): Promise<{ id: string; epoch: number }[]> {
  return db.all(
    `SELECT id, epoch FROM jobs WHERE state = 'finished' AND finished_at < $1
     ORDER BY finished_at LIMIT $2`,
    [before, limit],
  );
}

export async function deleteJob(db: Queryable, id: string): Promise<void> {
  await db.run("DELETE FROM jobs WHERE id = $1 AND state = 'finished'", [id]);
}

/** Those of some jobs that are finished, with the hand-over that was their last. */
export function finishedAmong(
  db: Queryable,
  ids: readonly string[],
): Promise<{ id: string; epoch: number }[]> {
  const places = ids.map((_, index) => `$${index + 1}`).join(', ');
  return db.all(
    `SELECT id, epoch FROM jobs WHERE state = 'finished' AND epoch > 0 AND id IN (${places})`,
    ids,
  );
}
