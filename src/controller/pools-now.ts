import type { Pool } from '../domain/pool.ts';
import { canaryOf, poolNow } from '../domain/rollout.ts';
import type { Queryable } from '../db/database.ts';
import { listPools } from '../db/queries/pools.ts';
import { rolloutsWithTallies } from '../db/queries/rollouts.ts';

/** A pool, and what it is made as while an image is rolled out to it. */
export interface PoolNow {
  /** As it was applied. */
  readonly spec: Pool;
  /** As most of its workers are made now. */
  readonly now: Pool;
  /** As some of them are made, to try an image. */
  readonly canary: Pool | undefined;
}

export async function poolsNow(db: Queryable): Promise<PoolNow[]> {
  const rollouts = new Map(
    (await rolloutsWithTallies(db)).map(([, rollout]) => [rollout.pool, rollout]),
  );
  return (await listPools(db)).map((row) => {
    const spec = JSON.parse(row.spec) as Pool;
    const rollout = rollouts.get(row.name);
    return { spec, now: poolNow(spec, rollout), canary: canaryOf(spec, rollout) };
  });
}
