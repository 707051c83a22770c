import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffKey } from '../../domain/scheduling/fleet-view.ts';
import { Backoffs } from './backoffs.ts';

/** A clock that the test moves; the wall part may jump. */
function clockOf() {
  const time = { wall: 1_000_000, monotonic: 5_000 };
  return { time, clock: { now: () => time.wall, monotonic: () => time.monotonic } };
}
const key = backoffKey('pool', 'empty', 'h-1');

test('each failure in a row doubles the rest, up to a minute; a success forgets it', () => {
  const { time, clock } = clockOf();
  const backoffs = new Backoffs(clock);
  const rests: number[] = [];
  for (let n = 0; n < 8; n += 1) {
    backoffs.failedToStart('pool', 'empty', 'h-1', 'no luck');
    rests.push((backoffs.current.get(key)?.until ?? 0) - time.wall);
  }
  assert.deepEqual(rests, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  backoffs.madeReady('pool', 'empty', 'h-1');
  assert.equal(backoffs.current.size, 0);
});

test('a wall clock that jumps neither lengthens nor ends a rest', () => {
  const { time, clock } = clockOf();
  const backoffs = new Backoffs(clock);
  backoffs.failedToStart('pool', 'empty', 'h-1', 'no luck');
  for (const jump of [-7_200_000, 14_400_000]) {
    time.wall += jump;
    assert.equal((backoffs.current.get(key)?.until ?? 0) - time.wall, 1_000);
  }
});
