import { backoffKey, type Backoff } from '../../domain/scheduling/fleet-view.ts';
import type { Queryable } from '../../db/database.ts';
import {
  deleteBackoff,
  findBackoff,
  listBackoffs,
  saveBackoff,
} from '../../db/queries/backoffs.ts';

const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/** Where a worker was to start: workers of a pool, from an image, on a host. */
export interface Place {
  readonly pool: string;
  readonly image: string;
  readonly hostId: string;
}

/** A worker became ready there: it is a good place again. */
export async function madeReady(tx: Queryable, { pool, image, hostId }: Place): Promise<void> {
  await deleteBackoff(tx, backoffKey(pool, image, hostId));
}

/** A worker failed to start there: a place that is broken is tried less and less often. */
export async function failedToStart(
  tx: Queryable,
  { pool, image, hostId }: Place,
  reason: string,
  now: number,
): Promise<void> {
  const place = backoffKey(pool, image, hostId);
  const failures = ((await findBackoff(tx, place))?.failures ?? 0) + 1;
  const wait = Math.min(FIRST_MS * 2 ** Math.min(failures - 1, 10), LONGEST_MS);
  await saveBackoff(tx, { place, failures, until: now + wait, reason });
}

/** By `backoffKey`. None lasts longer than it can, also when the clock went back. */
export async function readBackoffs(
  db: Queryable,
  now: number,
): Promise<ReadonlyMap<string, Backoff>> {
  const rows = await listBackoffs(db);
  return new Map(
    rows.map(({ place, failures, until, reason }) => [
      place,
      { failures, reason, until: Math.min(until, now + LONGEST_MS) },
    ]),
  );
}
