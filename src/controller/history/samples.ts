import type { Pool } from '../../domain/pool.ts';
import { poolAt } from '../../domain/scheduling/rules.ts';
import type { WorkerState } from '../../domain/worker.ts';
import { poolFits } from '../../domain/scheduling/fit.ts';
import { deletePoolSamplesBefore, insertPoolSample } from '../../db/queries/history.ts';
import { buildOf, countQueuedByPool, labelsOf } from '../../db/queries/jobs.ts';
import { listPools } from '../../db/queries/pools.ts';
import { countLiveWorkers } from '../../db/queries/workers.ts';
import type { Context } from '../context.ts';
import type { Lease } from '../leases.ts';

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

/** Writes down each minute how every pool is. */
export class PoolSampler {
  readonly #context: Context;
  readonly #lease: Lease;
  readonly #stop: () => void;
  #running: Promise<void> | undefined;

  constructor(context: Context, lease: Lease) {
    this.#context = lease.fence(context);
    this.#lease = lease;
    const stopTicking = context.clock.every(SAMPLE_MS, () => this.#start());
    const unwatch = lease.onTaken(() => this.#start());
    this.#stop = () => {
      stopTicking();
      unwatch();
    };
  }

  #start(): void {
    if (!this.#lease.held) return;
    this.#running ??= this.take()
      .catch((error: unknown) => {
        this.#context.log.log('warn', 'how pools are was not written down', { error });
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Of the minute that it is. One that was written down stays. */
  async take(): Promise<void> {
    const { db, clock } = this.#context;
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

  async close(): Promise<void> {
    this.#stop();
    await this.#running;
  }
}
