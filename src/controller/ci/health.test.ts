import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { Health, toldHealth } from './health.ts';

test('what one controller sees of a CI system the others are told, now and then', async (t) => {
  const { context, time } = await ControllerFixture.make(t);
  const { db, clock } = context;
  const health = new Health(clock);
  assert.deepEqual(await toldHealth(db, 'github'), {});
  health.looked(3);
  health.failed('a goodbye', new Error('it answered 502'));
  await health.tell(db, 'github');
  const first = await toldHealth(db, 'github');
  assert.deepEqual(first, {
    lookedAt: time.wall,
    lastError: { at: time.wall, what: 'a goodbye', message: 'it answered 502' },
  });
  time.wall += 1_000;
  health.event('a push');
  await health.tell(db, 'github');
  assert.deepEqual(await toldHealth(db, 'github'), first, 'that was just before');
  time.monotonic += 5_000;
  await health.tell(db, 'github');
  assert.equal((await toldHealth(db, 'github')).lastEvent?.what, 'a push');
});
