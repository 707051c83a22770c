import type { Pool } from '../domain/pool.ts';
import { poolNow, type Rollout } from '../domain/rollout.ts';
import { poolFits } from '../domain/scheduling/fit.ts';
import { buildOf, countQueuedByPool, labelsOf } from '../db/queries/jobs.ts';
import { listHosts } from '../db/queries/hosts.ts';
import { deleteRollout, rolloutsWithTallies } from '../db/queries/rollouts.ts';
import { deletePool, findPool, listPools, savePool, type PoolRow } from '../db/queries/pools.ts';
import { countLiveWorkers } from '../db/queries/workers.ts';
import type { PoolSpec, PoolView } from '../protocol/api/resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Context } from './context.ts';

/** The pools: those of the configuration file, and those applied through the API. */
export class Pools {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async all(): Promise<Pool[]> {
    return (await listPools(this.#context.db)).map((row) => JSON.parse(row.spec) as Pool);
  }

  /**
   * Makes the configured pools what the file says. A configured pool that left the file goes; a
   * pool of the same name made through the API gives way to the file.
   */
  async configure(pools: readonly Pool[], origin: 'config' | 'builtin'): Promise<void> {
    await change(this.#context, async ({ tx, event, host }) => {
      // They may need other images now.
      for (const { id } of await listHosts(tx)) host(id);
      const wanted = new Set(pools.map((pool) => pool.name));
      for (const row of await listPools(tx)) {
        if (row.origin === 'api' || wanted.has(row.name)) continue;
        await deletePool(tx, row.name);
        await event('pool', row.name, 'removed');
      }
      for (const pool of pools) {
        await savePool(tx, { name: pool.name, origin, spec: JSON.stringify(pool) });
        await event('pool', pool.name, 'applied');
      }
    });
  }

  async apply(spec: PoolSpec): Promise<PoolView> {
    await change(this.#context, async ({ tx, event, host }) => {
      // They may need other images now.
      for (const { id } of await listHosts(tx)) host(id);
      const known = await findPool(tx, spec.name);
      if (known?.origin === 'config') {
        throw new ProblemError(
          'conflict',
          `pool ${spec.name} comes from the configuration file; change it there`,
        );
      }
      await savePool(tx, { name: spec.name, origin: 'api', spec: JSON.stringify(spec) });
      await event('pool', spec.name, 'applied');
    });
    await this.#context.db.flush();
    const view = (await this.list()).find((pool) => pool.spec.name === spec.name);
    if (view === undefined) throw new ProblemError('not_found', `pool ${spec.name} was removed`);
    return view;
  }

  async remove(name: string): Promise<void> {
    await change(this.#context, async ({ tx, event, host }) => {
      // They may need other images now.
      for (const { id } of await listHosts(tx)) host(id);
      const known = await findPool(tx, name);
      if (known === undefined) throw new ProblemError('not_found', `there is no pool ${name}`);
      if (known.origin !== 'api') {
        throw new ProblemError(
          'conflict',
          `pool ${name} comes from the configuration file; remove it there`,
        );
      }
      await deletePool(tx, name);
      await deleteRollout(tx, name);
      await event('pool', name, 'removed');
    });
  }

  async list(): Promise<PoolView[]> {
    const rows = await listPools(this.#context.db);
    const queued = await countQueuedByPool(this.#context.db);
    const workers = await countLiveWorkers(this.#context.db);
    const rollouts = new Map(
      (await rolloutsWithTallies(this.#context.db)).map(([row, rollout]) => [row.pool, rollout]),
    );
    return rows.map((row) => poolView(row, rollouts.get(row.name), queued, workers));
  }
}

function poolView(
  row: PoolRow,
  rollout: Rollout | undefined,
  queued: Awaited<ReturnType<typeof countQueuedByPool>>,
  workers: Awaited<ReturnType<typeof countLiveWorkers>>,
): PoolView {
  const pool = JSON.parse(row.spec) as Pool;
  const waiting = queued.filter(
    (group) =>
      poolFits(pool, {
        pool: group.pool ?? undefined,
        labels: labelsOf(group),
        build: buildOf(group),
      }).fits,
  );
  const counts: PoolView['counts'] = {
    requested: 0,
    fetching: 0,
    cloning: 0,
    booting: 0,
    ready: 0,
    running: 0,
    finishing: 0,
    failed: 0,
    destroyed: 0,
  };
  for (const group of workers) {
    if (group.pool === pool.name) counts[group.state] += Number(group.n);
  }
  return {
    spec: { ...pool, labels: [...pool.labels], hostLabels: [...pool.hostLabels] },
    origin: row.origin,
    image: poolNow(pool, rollout).image,
    queued: waiting.reduce((sum, group) => sum + Number(group.n), 0),
    counts,
  };
}
