import type { Queryable } from '../database.ts';

export interface PoolRow {
  readonly name: string;
  readonly origin: 'config' | 'api' | 'builtin';
  readonly spec: string;
}

export function listPools(db: Queryable): Promise<PoolRow[]> {
  return db.all('SELECT * FROM pools ORDER BY name');
}

export function findPool(db: Queryable, name: string): Promise<PoolRow | undefined> {
  return db.get('SELECT * FROM pools WHERE name = $1', [name]);
}

export async function savePool(db: Queryable, pool: PoolRow): Promise<void> {
  await db.run(
    `INSERT INTO pools (name, origin, spec) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET origin = $2, spec = $3`,
    [pool.name, pool.origin, pool.spec],
  );
}

export async function deletePool(db: Queryable, name: string): Promise<void> {
  await db.run('DELETE FROM pools WHERE name = $1', [name]);
}
