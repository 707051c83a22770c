import { NO_TALLY, type Rollout, type RolloutState, type Tally } from '../../domain/rollout.ts';
import type { Queryable } from '../database.ts';

export interface RolloutRow {
  readonly pool: string;
  readonly from_image: string;
  readonly to_image: string;
  readonly state: RolloutState;
  readonly stages: string;
  readonly stage: number;
  readonly trials: number;
  readonly reason: string | null;
  readonly started_at: number;
  readonly updated_at: number;
}

interface TallyRow {
  readonly pool: string;
  readonly image: string;
  readonly made: number;
  readonly failed: number;
  readonly jobs: number;
  readonly jobs_failed: number;
}

export function listRollouts(db: Queryable): Promise<RolloutRow[]> {
  return db.all('SELECT * FROM rollouts ORDER BY pool');
}

export function findRollout(db: Queryable, pool: string): Promise<RolloutRow | undefined> {
  return db.get('SELECT * FROM rollouts WHERE pool = $1', [pool]);
}

/** Roll-outs with their tallies. */
export async function rolloutsWithTallies(db: Queryable): Promise<[RolloutRow, Rollout][]> {
  const rows = await listRollouts(db);
  if (rows.length === 0) return [];
  const tallies = await db.all<TallyRow>('SELECT * FROM rollout_tallies');
  return rows.map((row) => [row, rolloutOf(row, tallies)]);
}

function rolloutOf(row: RolloutRow, tallies: readonly TallyRow[]): Rollout {
  return {
    ...{ pool: row.pool, from: row.from_image, to: row.to_image, state: row.state },
    ...{ stages: JSON.parse(row.stages) as number[], stage: row.stage, trials: row.trials },
    old: tallyOf(tallies, row.pool, row.from_image),
    new: tallyOf(tallies, row.pool, row.to_image),
  };
}

function tallyOf(tallies: readonly TallyRow[], pool: string, image: string): Tally {
  const row = tallies.find((each) => each.pool === pool && each.image === image);
  if (row === undefined) return NO_TALLY;
  const { made, failed, jobs, jobs_failed: jobsFailed } = row;
  return { made, failed, jobs, jobsFailed };
}

/** Begins one, in the place of what the pool had. */
export async function insertRollout(
  db: Queryable,
  rollout: Pick<Rollout, 'pool' | 'from' | 'to' | 'stages' | 'trials'> & { readonly now: number },
): Promise<void> {
  const { pool, from, to, stages, trials, now } = rollout;
  await deleteRollout(db, pool);
  await db.run(
    `INSERT INTO rollouts (pool, from_image, to_image, state, stages, stage, trials, started_at, updated_at)
     VALUES ($1, $2, $3, 'running', $4, 0, $5, $6, $6)`,
    [pool, from, to, JSON.stringify(stages), trials, now],
  );
  for (const image of [from, to]) {
    await db.run('INSERT INTO rollout_tallies (pool, image) VALUES ($1, $2)', [pool, image]);
  }
}

export async function deleteRollout(db: Queryable, pool: string): Promise<void> {
  await db.run('DELETE FROM rollouts WHERE pool = $1', [pool]);
  await db.run('DELETE FROM rollout_tallies WHERE pool = $1', [pool]);
}

/** Moves one on that is still in the state and stage it was read in. False when it is not. */
export async function moveRollout(
  db: Queryable,
  before: Pick<RolloutRow, 'pool' | 'state' | 'stage'>,
  after: { state: RolloutState; stage: number; reason: string | undefined; now: number },
): Promise<boolean> {
  const changed = await db.run(
    `UPDATE rollouts SET state = $4, stage = $5, reason = $6, updated_at = $7
     WHERE pool = $1 AND state = $2 AND stage = $3`,
    [
      ...[before.pool, before.state, before.stage],
      ...[after.state, after.stage, after.reason, after.now],
    ],
  );
  return changed === 1;
}

/** Counts for a roll-out, if the pool has one with that image. */
export async function tally(
  db: Queryable,
  { pool, image }: { readonly pool: string; readonly image: string },
  more: Partial<Tally>,
): Promise<void> {
  const { made, failed, jobs, jobsFailed } = { ...NO_TALLY, ...more };
  await db.run(
    `UPDATE rollout_tallies SET made = made + $3, failed = failed + $4, jobs = jobs + $5,
       jobs_failed = jobs_failed + $6
     WHERE pool = $1 AND image = $2`,
    [pool, image, made, failed, jobs, jobsFailed],
  );
}
