import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffKey } from '../../domain/scheduling/fleet-view.ts';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { failedToStart, madeReady, readBackoffs } from './backoffs.ts';

const place = { pool: 'pool', image: 'empty', hostId: 'h-1' };
const key = backoffKey('pool', 'empty', 'h-1');
const NOW = 1_000_000;

test('each failure in a row doubles the rest, up to a minute; a success forgets it', async (t) => {
  const { context } = await ControllerFixture.make(t);
  const rests: number[] = [];
  for (let n = 0; n < 8; n += 1) {
    await failedToStart(context.db, place, 'no luck', NOW);
    rests.push(((await readBackoffs(context.db, NOW)).get(key)?.until ?? 0) - NOW);
  }
  assert.deepEqual(rests, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  await madeReady(context.db, place);
  assert.equal((await readBackoffs(context.db, NOW)).size, 0);
});

test('a wall clock that goes back lengthens a rest to a minute at most', async (t) => {
  const { context } = await ControllerFixture.make(t);
  await failedToStart(context.db, place, 'no luck', NOW);
  const before = NOW - 7_200_000;
  assert.equal((await readBackoffs(context.db, before)).get(key)?.until, before + 60_000);
});
