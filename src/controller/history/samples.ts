import type { Pool } from '../../domain/pool.ts';
import { poolAt } from '../../domain/scheduling/rules.ts';
import type { WorkerState } from '../../domain/worker.ts';
import { poolFits } from '../../domain/scheduling/fit.ts';
import { deletePoolSamplesBefore, insertPoolSample } from '../../db/queries/history.ts';
import { buildOf, countQueuedByPool, labelsOf } from '../../db/queries/jobs.ts';
import { listPools } from '../../db/queries/pools.ts';
import { countLiveWorkers } from '../../db/queries/workers.ts';
import type { Context } from '../context.ts';

export const SAMPLE_MS = 60_000;
/** As long as the dashboard shows. */
const KEPT_MS = 31 * 86_400_000;

const PREPARING: ReadonlySet<WorkerState> = new Set([
  'requested',
  'fetching',
  'cloning',
  'booting',
]);
const BUSY: ReadonlySet<WorkerState> = new Set(['running', 'finishing']);

/** Writes down how every pool is in this minute. A minute that was written down stays. */
export async function samplePools({ db, clock }: Context): Promise<void> {
  const now = clock.now();
  const at = Math.floor(now / SAMPLE_MS) * SAMPLE_MS;
  const workers = await countLiveWorkers(db);
  const queued = await countQueuedByPool(db);
  const pools = (await listPools(db)).map((row) => JSON.parse(row.spec) as Pool);
  await db.transaction(async (tx) => {
    for (const pool of pools) {
      const count = (has: (state: WorkerState) => boolean) =>
        workers.reduce(
          (sum, row) => sum + (row.pool === pool.name && has(row.state) ? Number(row.n) : 0),
          0,
        );
      const { ready, max } = poolAt(pool, now, undefined);
      await insertPoolSample(tx, {
        ...{ pool: pool.name, at, max, want_ready: ready },
        ready: count((state) => state === 'ready'),
        preparing: count((state) => PREPARING.has(state)),
        busy: count((state) => BUSY.has(state)),
        queued: queued.reduce((sum, row) => {
          const build = buildOf(row);
          const job = { pool: row.pool ?? undefined, labels: labelsOf(row), build };
          return sum + (poolFits(pool, job).fits ? Number(row.n) : 0);
        }, 0),
      });
    }
    await deletePoolSamplesBefore(tx, at - KEPT_MS);
  });
}
