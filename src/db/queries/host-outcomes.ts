import type { Trials } from '../../domain/evidence.ts';
import type { Queryable } from '../database.ts';

export async function noteOutcome(
  db: Queryable,
  outcome: { hostId: string; pool: string; at: number; failed: boolean },
): Promise<void> {
  const { hostId, pool, at, failed } = outcome;
  await db.run('INSERT INTO host_outcomes (host_id, pool, at, failed) VALUES ($1, $2, $3, $4)', [
    ...[hostId, pool, at, failed ? 1 : 0],
  ]);
}

/** What became of the work of a pool since a time: on this host, and on all others. */
export async function outcomesOf(
  db: Queryable,
  { hostId, pool, since }: { hostId: string; pool: string; since: number },
): Promise<{ here: Trials; elsewhere: Trials }> {
  const rows = await db.all<{ here: number; failed: number; n: number }>(
    `SELECT CASE WHEN host_id = $1 THEN 1 ELSE 0 END AS here, SUM(failed) AS failed, COUNT(*) AS n
     FROM host_outcomes WHERE pool = $2 AND at >= $3
     GROUP BY CASE WHEN host_id = $1 THEN 1 ELSE 0 END`,
    [hostId, pool, since],
  );
  const of = (here: number): Trials => {
    const row = rows.find((each) => Number(each.here) === here);
    return { failed: Number(row?.failed ?? 0), trials: Number(row?.n ?? 0) };
  };
  return { here: of(1), elsewhere: of(0) };
}

/** What was is no evidence any more. */
export async function forgetOutcomes(db: Queryable, hostId: string): Promise<void> {
  await db.run('DELETE FROM host_outcomes WHERE host_id = $1', [hostId]);
}

export async function deleteOutcomesBefore(db: Queryable, before: number): Promise<void> {
  await db.run('DELETE FROM host_outcomes WHERE at < $1', [before]);
}
