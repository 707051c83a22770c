import type { Queryable } from '../database.ts';

/** A job that asked for workers of a pool, in a slot of time. */
export async function noteDemand(db: Queryable, pool: string, slot: number): Promise<void> {
  await db.run(
    `INSERT INTO demand (pool, slot, n) VALUES ($1, $2, 1)
     ON CONFLICT (pool, slot) DO UPDATE SET n = demand.n + 1`,
    [pool, slot],
  );
}

export function demandOf(db: Queryable, pool: string): Promise<{ slot: number; n: number }[]> {
  return db.all('SELECT slot, n FROM demand WHERE pool = $1 ORDER BY slot', [pool]);
}

export async function deleteDemandBefore(db: Queryable, slot: number): Promise<void> {
  await db.run('DELETE FROM demand WHERE slot < $1', [slot]);
}
