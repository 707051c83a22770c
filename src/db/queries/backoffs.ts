import type { Queryable } from '../database.ts';

/** Where workers failed to start lately: by `backoffKey`. */
export interface BackoffRow {
  readonly place: string;
  readonly failures: number;
  /** Wall-clock milliseconds. */
  readonly until: number;
  readonly reason: string;
}

export function listBackoffs(db: Queryable): Promise<BackoffRow[]> {
  return db.all('SELECT * FROM backoffs');
}

export function findBackoff(db: Queryable, place: string): Promise<BackoffRow | undefined> {
  return db.get('SELECT * FROM backoffs WHERE place = $1', [place]);
}

export async function saveBackoff(db: Queryable, row: BackoffRow): Promise<void> {
  await db.run(
    `INSERT INTO backoffs (place, failures, until, reason) VALUES ($1, $2, $3, $4)
     ON CONFLICT (place) DO UPDATE SET failures = $2, until = $3, reason = $4`,
    [row.place, row.failures, row.until, row.reason],
  );
}

/** Returns whether there was one. */
export async function deleteBackoff(db: Queryable, place: string): Promise<boolean> {
  return (await db.run('DELETE FROM backoffs WHERE place = $1', [place])) > 0;
}
