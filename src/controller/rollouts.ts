import { EMPTY_IMAGE, type Pool } from '../domain/pool.ts';
import type { Rollout } from '../domain/rollout.ts';
import { factsOf, listHosts } from '../db/queries/hosts.ts';
import { findPool } from '../db/queries/pools.ts';
import {
  deleteRollout,
  findRollout,
  insertRollout,
  moveRollout,
  rolloutsWithTallies,
  type RolloutRow,
} from '../db/queries/rollouts.ts';
import type { RolloutOrder, RolloutView } from '../protocol/api/resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Changes, type Context } from './context.ts';

/** What a person does with a roll-out. */
export type RolloutMove = 'pause' | 'resume' | 'promote' | 'back';

/** From which states, and to which. */
const MOVES = {
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused', 'back'], to: 'running' },
  promote: { from: ['running', 'paused'], to: 'done' },
  back: { from: ['running', 'paused', 'done'], to: 'back' },
} as const;

/** New images taking over pools. */
export class Rollouts {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async list(): Promise<RolloutView[]> {
    const { db } = this.#context;
    const images = (await listHosts(db)).map((row) => factsOf(row)?.images ?? []);
    return (await rolloutsWithTallies(db)).map(([row, rollout]) => {
      const hosts = images.filter((names) => names.some(({ name }) => name === rollout.to)).length;
      return viewOf(row, rollout, hosts);
    });
  }

  async start(pool: string, { image, stages, trials }: RolloutOrder): Promise<RolloutView> {
    await change(this.#context, async (changes) => {
      const { tx, now, event } = changes;
      const row = await findPool(tx, pool);
      if (row === undefined) throw new ProblemError('not_found', `there is no pool ${pool}`);
      const spec = JSON.parse(row.spec) as Pool;
      const known = await findRollout(tx, pool);
      const holds = known?.from_image === spec.image;
      if (holds && (known?.state === 'running' || known?.state === 'paused')) {
        throw new ProblemError(
          'conflict',
          `pool ${pool} is being moved to ${known.to_image}; \`pomona rollout back ${pool}\` or \`promote\` first`,
        );
      }
      const before = holds && known?.state === 'done' ? known.to_image : spec.image;
      if (image === before || image === EMPTY_IMAGE) {
        throw new ProblemError(
          'conflict',
          `pool ${pool} is made from ${before}; expected another image`,
        );
      }
      await insertRollout(tx, { pool, from: spec.image, to: image, stages, trials, now });
      await event('pool', pool, 'rollout-started', `to ${image}`);
      await allHosts(changes);
    });
    return this.#view(pool);
  }

  async move(pool: string, how: RolloutMove): Promise<RolloutView> {
    const { from, to } = MOVES[how];
    await change(this.#context, async (changes) => {
      const { tx, now, event } = changes;
      const row = await mustFind(changes, pool);
      if (!(from as readonly string[]).includes(row.state)) {
        throw new ProblemError('conflict', `the roll-out of pool ${pool} is ${row.state}`);
      }
      // From the beginning: what it was judged by is what it went back for.
      if (how === 'resume' && row.state === 'back') {
        const stages = JSON.parse(row.stages) as number[];
        const { from_image: old, to_image: next, trials } = row;
        await insertRollout(tx, { pool, from: old, to: next, stages, trials, now });
      } else {
        const reason = how === 'resume' ? undefined : 'by hand';
        await moveRollout(tx, row, { state: to, stage: row.stage, reason, now });
      }
      await event('pool', pool, `rollout-${to}`, 'by hand');
      await allHosts(changes);
    });
    return this.#view(pool);
  }

  /** Forgets one that went back; the pool is as it says. */
  async remove(pool: string): Promise<void> {
    await change(this.#context, async (changes) => {
      await mustFind(changes, pool);
      await deleteRollout(changes.tx, pool);
      await changes.event('pool', pool, 'rollout-removed');
      await allHosts(changes);
    });
  }

  async #view(pool: string): Promise<RolloutView> {
    const view = (await this.list()).find((each) => each.pool === pool);
    if (view === undefined) throw noRollout(pool);
    return view;
  }
}

async function mustFind({ tx }: Changes, pool: string): Promise<RolloutRow> {
  const row = await findRollout(tx, pool);
  if (row === undefined) throw noRollout(pool);
  return row;
}

function noRollout(pool: string): ProblemError {
  return new ProblemError('not_found', `pool ${pool} has no roll-out; \`pomona rollout list\``);
}

/** They may need other images now. */
async function allHosts({ tx, host }: Changes): Promise<void> {
  for (const { id } of await listHosts(tx)) host(id);
}

function viewOf(row: RolloutRow, rollout: Rollout, hosts: number): RolloutView {
  const { pool, from, to, state, stages, stage, trials } = rollout;
  const shares = { running: stages[stage] ?? 0, paused: 0, done: 100, back: 0 };
  return {
    ...{ pool, from, to, state, stages: [...stages], stage, share: shares[state], trials },
    ...(row.reason === null ? {} : { reason: row.reason }),
    ...{ startedAt: row.started_at, updatedAt: row.updated_at },
    ...{ hosts, old: rollout.old, new: rollout.new },
  };
}
