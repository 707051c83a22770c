import type { WorkerGoal, WorkerSpec, WorkerState } from '../../domain/worker.ts';
import type { Queryable } from '../database.ts';

export interface WorkerRow {
  readonly id: string;
  readonly epoch: number;
  readonly pool: string;
  readonly host_id: string;
  readonly state: WorkerState;
  readonly goal: WorkerGoal;
  readonly spec: string;
  readonly spec_key: string;
  readonly job_id: string | null;
  readonly reason: string | null;
  readonly created_at: number;
  readonly ready_at: number | null;
  readonly updated_at: number;
  /** Its job has ended, and it stays until then for people to look at; null: it is not kept. */
  readonly kept_until: number | null;
}

export function specOf(row: Pick<WorkerRow, 'spec'>): WorkerSpec {
  return JSON.parse(row.spec) as WorkerSpec;
}

export async function insertWorker(
  db: Queryable,
  worker: {
    id: string;
    epoch: number;
    hostId: string;
    spec: WorkerSpec;
    specKey: string;
    now: number;
  },
): Promise<void> {
  await db.run(
    `INSERT INTO workers (id, epoch, pool, host_id, state, goal, spec, spec_key, created_at, updated_at)
     VALUES ($1, $2, $3, $4, 'requested', 'ready', $5, $6, $7, $7)`,
    [
      worker.id,
      worker.epoch,
      worker.spec.pool,
      worker.hostId,
      JSON.stringify(worker.spec),
      worker.specKey,
      worker.now,
    ],
  );
}

export function findWorker(db: Queryable, id: string): Promise<WorkerRow | undefined> {
  return db.get('SELECT * FROM workers WHERE id = $1', [id]);
}

export function liveWorkers(db: Queryable): Promise<WorkerRow[]> {
  return db.all("SELECT * FROM workers WHERE state <> 'destroyed' ORDER BY id");
}

export function liveWorkersOfHost(db: Queryable, hostId: string): Promise<WorkerRow[]> {
  return db.all("SELECT * FROM workers WHERE host_id = $1 AND state <> 'destroyed' ORDER BY id", [
    hostId,
  ]);
}

export function listWorkers(
  db: Queryable,
  filter: { pool: string | undefined; all: boolean; after: string | undefined },
  limit: number,
): Promise<WorkerRow[]> {
  return db.all(
    `SELECT * FROM workers
     WHERE (CAST($1 AS TEXT) IS NULL OR pool = $1)
       AND (CAST($2 AS INTEGER) = 1 OR state <> 'destroyed')
       AND (CAST($3 AS TEXT) IS NULL OR id > $3)
     ORDER BY id LIMIT $4`,
    [filter.pool, filter.all ? 1 : 0, filter.after, limit],
  );
}

export function countLiveWorkers(
  db: Queryable,
): Promise<{ pool: string; host_id: string; state: WorkerState; n: number }[]> {
  return db.all(
    `SELECT pool, host_id, state, COUNT(*) AS n FROM workers WHERE state <> 'destroyed'
     GROUP BY pool, host_id, state`,
  );
}

/** Gives a ready worker its job. Returns false when it is not free any more. */
export async function giveJob(
  db: Queryable,
  worker: { id: string; jobId: string; now: number },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE workers SET goal = 'run', job_id = $2, updated_at = $3
     WHERE id = $1 AND goal = 'ready' AND state = 'ready' AND job_id IS NULL`,
    [worker.id, worker.jobId, worker.now],
  );
  return changed === 1;
}

export async function setWorkerGoal(
  db: Queryable,
  worker: { id: string; goal: WorkerGoal; reason: string | undefined; now: number },
): Promise<void> {
  await db.run(
    `UPDATE workers SET goal = $2, reason = COALESCE($3, reason), updated_at = $4
     WHERE id = $1 AND goal <> 'destroyed'`,
    [worker.id, worker.goal, worker.reason, worker.now],
  );
}

/** Marks an idle worker for removal. Returns false when it got a job meanwhile. */
export async function retireIdleWorker(
  db: Queryable,
  worker: { id: string; reason: string; now: number },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE workers SET goal = 'destroyed', reason = COALESCE(reason, $2), updated_at = $3
     WHERE id = $1 AND goal = 'ready' AND job_id IS NULL`,
    [worker.id, worker.reason, worker.now],
  );
  return changed === 1;
}

export async function setWorkerState(
  db: Queryable,
  worker: { id: string; state: WorkerState; reason: string | undefined; now: number },
): Promise<void> {
  await db.run(
    `UPDATE workers SET state = $2, reason = COALESCE($3, reason), updated_at = $4,
       ready_at = CASE WHEN $2 = 'ready' THEN $4 ELSE ready_at END
     WHERE id = $1`,
    [worker.id, worker.state, worker.reason, worker.now],
  );
}

/** Keeps a worker whose job has ended, until a time; null: no longer. */
export async function keepWorker(db: Queryable, id: string, until: number | null): Promise<void> {
  await db.run('UPDATE workers SET kept_until = $2 WHERE id = $1', [id, until]);
}

/** Those whose time is over, or whose host is to be empty. */
export function keptWorkers(db: Queryable): Promise<WorkerRow[]> {
  return db.all("SELECT * FROM workers WHERE kept_until IS NOT NULL AND goal <> 'destroyed'");
}

/** It waits for another job: its next epoch begins. */
export async function renewWorker(
  db: Queryable,
  { id, epoch, now }: { id: string; epoch: number; now: number },
): Promise<void> {
  await db.run(
    `UPDATE workers SET epoch = $2, state = 'requested', goal = 'ready', job_id = NULL, reason = NULL,
       ready_at = NULL, updated_at = $3
     WHERE id = $1`,
    [id, epoch, now],
  );
}

export async function deleteWorkersGoneBefore(db: Queryable, before: number): Promise<number> {
  return db.run("DELETE FROM workers WHERE state = 'destroyed' AND updated_at < $1", [before]);
}
