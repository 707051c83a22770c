import type { Queryable } from '../database.ts';

/** One hand-over of a job. */
export interface LogKey {
  readonly jobId: string;
  readonly epoch: number;
}

export interface LogPiece {
  readonly start: number;
  readonly bytes: Buffer;
}

export interface LogSegment {
  readonly start: number;
  readonly end: number;
}

/** Where the log ends. */
export async function logEnd(db: Queryable, { jobId, epoch }: LogKey): Promise<number> {
  const row = await db.get<{ piece: number | null; segment: number | null }>(
    `SELECT (SELECT MAX(start_at + size) FROM log_pieces WHERE job_id = $1 AND epoch = $2) AS piece,
            (SELECT MAX(end_at) FROM log_segments WHERE job_id = $1 AND epoch = $2) AS segment`,
    [jobId, epoch],
  );
  return Math.max(Number(row?.piece ?? 0), Number(row?.segment ?? 0));
}

/** Bytes that are in no segment yet. */
export async function looseBytes(db: Queryable, { jobId, epoch }: LogKey): Promise<number> {
  const row = await db.get<{ bytes: number | null }>(
    'SELECT SUM(size) AS bytes FROM log_pieces WHERE job_id = $1 AND epoch = $2',
    [jobId, epoch],
  );
  return Number(row?.bytes ?? 0);
}

/** Adds a piece at the end; false when the end is elsewhere by now. */
export async function addPiece(
  db: Queryable,
  { jobId, epoch }: LogKey,
  { start, bytes }: LogPiece,
  now: number,
): Promise<boolean> {
  const changed = await db.run(
    `INSERT INTO log_pieces (job_id, epoch, start_at, size, bytes, written_at)
     SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (
       SELECT 1 FROM log_segments WHERE job_id = $1 AND epoch = $2 AND end_at > $3)
     ON CONFLICT (job_id, epoch, start_at) DO NOTHING`,
    [jobId, epoch, start, bytes.length, bytes.toString('base64'), now],
  );
  return changed === 1;
}

/** Pieces that reach beyond an offset, in order, at most `limit`. */
export async function piecesFrom(
  db: Queryable,
  { jobId, epoch }: LogKey,
  offset: number,
  limit: number,
): Promise<LogPiece[]> {
  const rows = await db.all<{ start_at: number; bytes: string }>(
    `SELECT start_at, bytes FROM log_pieces
     WHERE job_id = $1 AND epoch = $2 AND start_at + size > $3 ORDER BY start_at LIMIT ${limit}`,
    [jobId, epoch, offset],
  );
  return rows.map(({ start_at: start, bytes }) => ({
    start: Number(start),
    bytes: Buffer.from(bytes, 'base64'),
  }));
}

/** The segment that has the byte at an offset. */
export async function segmentAt(
  db: Queryable,
  { jobId, epoch }: LogKey,
  offset: number,
): Promise<LogSegment | undefined> {
  const row = await db.get<{ start_at: number; end_at: number }>(
    `SELECT start_at, end_at FROM log_segments
     WHERE job_id = $1 AND epoch = $2 AND start_at <= $3 AND end_at > $3`,
    [jobId, epoch, offset],
  );
  return row && { start: Number(row.start_at), end: Number(row.end_at) };
}

/** Pieces became a segment. Where another one was there first, nothing changes. */
export async function addSegment(
  tx: Queryable,
  { jobId, epoch }: LogKey,
  { start, end }: LogSegment,
  now: number,
): Promise<void> {
  const changed = await tx.run(
    `INSERT INTO log_segments (job_id, epoch, start_at, end_at, written_at)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (job_id, epoch, start_at) DO NOTHING`,
    [jobId, epoch, start, end, now],
  );
  if (changed !== 1) return;
  await tx.run(
    'DELETE FROM log_pieces WHERE job_id = $1 AND epoch = $2 AND start_at + size <= $3',
    [jobId, epoch, end],
  );
}

export async function deleteLogs(tx: Queryable, jobId: string): Promise<void> {
  await tx.run('DELETE FROM log_pieces WHERE job_id = $1', [jobId]);
  await tx.run('DELETE FROM log_segments WHERE job_id = $1', [jobId]);
}

/** The logs of each job together. */
export async function listLogs(
  db: Queryable,
): Promise<{ jobId: string; bytes: number; at: number }[]> {
  const rows = await db.all<{ job_id: string; bytes: number; at: number }>(
    `SELECT job_id, SUM(bytes) AS bytes, MAX(at) AS at FROM (
       SELECT job_id, size AS bytes, written_at AS at FROM log_pieces
       UNION ALL SELECT job_id, end_at - start_at AS bytes, written_at AS at FROM log_segments
     ) AS logs GROUP BY job_id`,
  );
  return rows.map(({ job_id: jobId, bytes, at }) => ({
    ...{ jobId, bytes: Number(bytes), at: Number(at) },
  }));
}

/** Logs of finished jobs that are not in segments alone, some of them. */
export async function looseLogs(db: Queryable): Promise<LogKey[]> {
  const rows = await db.all<{ job_id: string; epoch: number }>(
    `SELECT DISTINCT p.job_id, p.epoch FROM log_pieces p JOIN jobs j ON j.id = p.job_id
     WHERE j.state = 'finished' OR j.epoch > p.epoch LIMIT 500`,
  );
  return rows.map(({ job_id: jobId, epoch }) => ({ jobId, epoch }));
}
