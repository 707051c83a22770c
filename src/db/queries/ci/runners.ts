import type { HostState } from '../../../domain/host.ts';
import type { JobState } from '../../../domain/job.ts';
import type { Queryable } from '../../database.ts';

/**
 * A runner: one hand-over of a job of ours. `preparing`: its credential may exist. `prepared`: its
 * worker may have it. `leaving`: the CI system is to forget it, and then its worker goes.
 * `removing`: its worker is gone, and the CI system is to forget it. `removed`: nothing is left.
 */
export interface CiRunnerRow {
  readonly name: string;
  readonly integration: string;
  readonly class_id: string;
  readonly job_id: string;
  readonly epoch: number;
  readonly worker_id: string;
  readonly external_id: string | null;
  /** Sealed JSON of its secret environment; null before it was prepared and after it is needed. */
  readonly sealed: string | null;
  readonly state: 'preparing' | 'prepared' | 'leaving' | 'removing' | 'removed';
  readonly reason: string | null;
  /** What it ran, for people. */
  readonly took: string | null;
  /** It ended without a job, and nobody had asked it to. */
  readonly failed: number;
  readonly prepared_at: number;
  readonly seen_at: number | null;
  readonly took_at: number | null;
  readonly absent_since: number | null;
  readonly removed_at: number | null;
}

export function findCiRunner(db: Queryable, name: string): Promise<CiRunnerRow | undefined> {
  return db.get('SELECT * FROM ci_runners WHERE name = $1', [name]);
}

export function runnerOfJob(
  db: Queryable,
  jobId: string,
  epoch: number,
): Promise<CiRunnerRow | undefined> {
  return db.get(
    `SELECT * FROM ci_runners WHERE job_id = $1 AND epoch = $2
     ORDER BY prepared_at DESC, name DESC LIMIT 1`,
    [jobId, epoch],
  );
}

/** Runners that the CI system may still know, oldest first. */
export function openCiRunners(db: Queryable, integration: string): Promise<CiRunnerRow[]> {
  return db.all(
    `SELECT * FROM ci_runners WHERE integration = $1 AND state <> 'removed'
     ORDER BY prepared_at, name`,
    [integration],
  );
}

export async function insertCiRunner(
  db: Queryable,
  runner: Pick<
    CiRunnerRow,
    'name' | 'integration' | 'class_id' | 'job_id' | 'epoch' | 'worker_id' | 'prepared_at'
  >,
): Promise<void> {
  const { name, integration, class_id, job_id, epoch, worker_id, prepared_at } = runner;
  await db.run(
    `INSERT INTO ci_runners (name, integration, class_id, job_id, epoch, worker_id, prepared_at, state)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'preparing')`,
    [name, integration, class_id, job_id, epoch, worker_id, prepared_at],
  );
}

/** Its credential is there. False when it was given up meanwhile. */
export async function runnerPrepared(
  db: Queryable,
  runner: { name: string; externalId: string | undefined; sealed: string },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE ci_runners SET state = 'prepared', external_id = $2, sealed = $3
     WHERE name = $1 AND state = 'preparing'`,
    [runner.name, runner.externalId, runner.sealed],
  );
  return changed === 1;
}

/** Leaving, or back again because it has a job. */
export async function setRunnerState(
  db: Queryable,
  runner: {
    name: string;
    from: CiRunnerRow['state'];
    to: CiRunnerRow['state'];
    reason: string | null;
    failed?: boolean;
  },
): Promise<boolean> {
  const { name, from, to, reason, failed = false } = runner;
  const changed = await db.run(
    'UPDATE ci_runners SET state = $3, reason = $4, failed = $5 WHERE name = $1 AND state = $2',
    [name, from, to, reason, failed ? 1 : 0],
  );
  return changed === 1;
}

/** Its worker is gone: the CI system alone may still know it. */
export async function runnerGone(
  db: Queryable,
  runner: { name: string; failed: boolean; reason: string },
): Promise<void> {
  await db.run(
    `UPDATE ci_runners SET state = 'removing', failed = CASE WHEN $2 = 1 THEN 1 ELSE failed END, sealed = NULL,
       reason = COALESCE(reason, $3)
     WHERE name = $1 AND state <> 'removed'`,
    [runner.name, runner.failed ? 1 : 0, runner.reason],
  );
}

export async function runnerRemoved(db: Queryable, name: string, now: number): Promise<void> {
  await db.run(
    "UPDATE ci_runners SET state = 'removed', removed_at = $2 WHERE name = $1 AND state = 'removing'",
    [name, now],
  );
}

/** The CI system has it; `took`: with a job, or a job was seen on it. */
export async function runnerSeen(
  db: Queryable,
  runner: {
    name: string;
    externalId: string | undefined;
    online: boolean;
    busy: boolean;
    took: string | undefined;
    now: number;
  },
): Promise<void> {
  await db.run(
    `UPDATE ci_runners SET external_id = COALESCE($2, external_id), absent_since = NULL,
       seen_at = CASE WHEN $3 = 1 THEN COALESCE(seen_at, $6) ELSE seen_at END,
       took_at = CASE WHEN $4 = 1 THEN COALESCE(took_at, $6) ELSE took_at END,
       took = COALESCE($5, took)
     WHERE name = $1`,
    [
      ...[runner.name, runner.externalId, runner.online ? 1 : 0, runner.busy ? 1 : 0],
      ...[runner.took, runner.now],
    ],
  );
}

/** It has no task any more, and waits for the next. */
export async function runnerIdles(db: Queryable, name: string): Promise<void> {
  await db.run('UPDATE ci_runners SET took_at = NULL WHERE name = $1', [name]);
}

export async function runnerAbsent(
  db: Queryable,
  name: string,
  since: number | null,
): Promise<void> {
  await db.run('UPDATE ci_runners SET absent_since = $2 WHERE name = $1', [name, since]);
}

/** How the last runners of a class ended, newest first. */
export function lastRunnersOf(
  db: Queryable,
  integration: string,
  classId: string,
  limit: number,
): Promise<Pick<CiRunnerRow, 'failed' | 'removed_at'>[]> {
  return db.all(
    `SELECT failed, removed_at FROM ci_runners
     WHERE integration = $1 AND class_id = $2 AND state = 'removed'
     ORDER BY removed_at DESC LIMIT $3`,
    [integration, classId, limit],
  );
}

/** Times from a job's submission to a runner that waits for jobs, newest first. */
export function readyTimes(
  db: Queryable,
  integration: string,
  limit: number,
): Promise<{ ms: number }[]> {
  return db.all(
    `SELECT r.seen_at - j.submitted_at AS ms FROM ci_runners r JOIN jobs j ON j.id = r.job_id
     WHERE r.integration = $1 AND r.seen_at IS NOT NULL ORDER BY r.prepared_at DESC LIMIT $2`,
    [integration, limit],
  );
}

export async function deleteRunnersRemovedBefore(db: Queryable, before: number): Promise<void> {
  await db.run("DELETE FROM ci_runners WHERE state = 'removed' AND removed_at < $1", [before]);
}

/** A job of ours that is to be a runner, with its newest runner. */
export interface RunnerJobRow {
  readonly id: string;
  readonly state: JobState;
  readonly epoch: number;
  readonly runner_class: string;
  readonly cancel_requested: number;
  readonly worker_id: string | null;
  readonly submitted_at: number;
  readonly assigned_at: number | null;
  /** Of the host that has it. */
  readonly host_state: HostState | null;
}

export function openRunnerJobs(db: Queryable, integration: string): Promise<RunnerJobRow[]> {
  return db.all(
    `SELECT j.id, j.state, j.epoch, j.runner_class, j.cancel_requested, j.worker_id,
       j.submitted_at, j.assigned_at, h.state AS host_state
     FROM jobs j LEFT JOIN hosts h ON h.name = j.host_name
     WHERE j.integration = $1 AND j.state <> 'finished' ORDER BY j.id`,
    [integration],
  );
}

/** Those that a worker waits for, of all integrations. */
export function assignedRunnerJobs(
  db: Queryable,
  integration: string,
): Promise<Pick<RunnerJobRow, 'id' | 'epoch' | 'cancel_requested'>[]> {
  return db.all(
    `SELECT id, epoch, cancel_requested FROM jobs WHERE integration = $1 AND state = 'assigned' AND worker_id IS NOT NULL ORDER BY id`,
    [integration],
  );
}

/** Open jobs that are runners, of every integration there ever was. */
export function runnerJobsOfAll(db: Queryable): Promise<{ id: string; integration: string }[]> {
  return db.all(
    "SELECT id, integration FROM jobs WHERE integration IS NOT NULL AND state <> 'finished'",
  );
}

/** The CI system's job that one of our jobs runs as its runner, as far as it is known. */
export function ciJobOfJob(
  db: Queryable,
  jobId: string,
): Promise<{ title: string; url: string | null } | undefined> {
  return db.get(
    `SELECT c.title, c.url FROM ci_runners r
     JOIN ci_jobs c ON c.integration = r.integration AND c.runner = r.name
     WHERE r.job_id = $1 ORDER BY r.epoch DESC, c.first_seen_at DESC LIMIT 1`,
    [jobId],
  );
}
