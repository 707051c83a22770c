import type { Queryable } from '../database.ts';

/** How a pool was at a minute. */
export interface PoolSampleRow {
  readonly pool: string;
  readonly at: number;
  readonly ready: number;
  readonly preparing: number;
  readonly busy: number;
  readonly queued: number;
  /** How many were to be ready, and its maximum, then. */
  readonly want_ready: number;
  readonly max: number;
}

export async function insertPoolSample(db: Queryable, row: PoolSampleRow): Promise<void> {
  await db.run(
    `INSERT INTO pool_samples (pool, at, ready, preparing, busy, queued, want_ready, max)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (pool, at) DO NOTHING`,
    [row.pool, row.at, row.ready, row.preparing, row.busy, row.queued, row.want_ready, row.max],
  );
}

export function poolSamples(db: Queryable, pool: string, since: number): Promise<PoolSampleRow[]> {
  return db.all('SELECT * FROM pool_samples WHERE pool = $1 AND at >= $2 ORDER BY at', [
    pool,
    since,
  ]);
}

export async function deletePoolSamplesBefore(db: Queryable, at: number): Promise<void> {
  await db.run('DELETE FROM pool_samples WHERE at < $1', [at]);
}

/** When jobs waited and ran: those that ended since a time, and those that are open. */
export interface PastJobRow {
  readonly id: string;
  readonly pool: string | null;
  readonly host_name: string | null;
  readonly outcome: string | null;
  readonly warm: number | null;
  readonly submitted_at: number;
  readonly assigned_at: number | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
}

/** Pool: of the worker that it was given to, which stays on the job. */
export function jobsSince(db: Queryable, since: number, limit: number): Promise<PastJobRow[]> {
  const columns = `j.id, COALESCE(j.ran_in, j.pool) AS pool, j.host_name, j.outcome, j.warm,
    j.submitted_at, j.assigned_at, j.started_at, j.finished_at`;
  return db.all(
    `SELECT ${columns} FROM jobs j WHERE j.state = 'finished' AND j.finished_at >= $1
     UNION ALL
     SELECT ${columns} FROM jobs j WHERE j.state <> 'finished'
     ORDER BY 6 LIMIT $2`,
    [since, limit],
  );
}
