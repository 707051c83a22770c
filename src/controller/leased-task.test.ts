import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as later } from 'node:timers/promises';
import { ControllerFixture, heldLease } from '../../test/controller-fixture.ts';
import type { Context } from './context.ts';
import { LeasedTask } from './leased-task.ts';
import { Lease } from './leases.ts';

/** A fixture whose clock ticks when the test says so. */
async function ticking(t: Parameters<typeof ControllerFixture.make>[0]) {
  const fixture = await ControllerFixture.make(t);
  const ticks = new Set<() => void>();
  const every = (_ms: number, listener: () => void) => {
    ticks.add(listener);
    return () => void ticks.delete(listener);
  };
  const context: Context = { ...fixture.context, clock: { ...fixture.context.clock, every } };
  const tick = async () => {
    for (const each of ticks) each();
    await later();
  };
  return { context, ticks, tick };
}

test('what only one controller does is done by the one that holds the lease, again and again', async (t) => {
  const { context, tick } = await ticking(t);
  let done = 0;
  const work = async () => void (done += 1);
  const task = { everyMs: 1, work, failure: 'no' };
  const other = new LeasedTask(context, new Lease('scheduling', context), task);
  await tick();
  assert.equal(done, 0, 'it has no lease');
  await other.close();
  const held = new LeasedTask(context, await heldLease(context, 'scheduling'), task);
  await tick();
  await tick();
  assert.equal(done, 2);
  await held.close();
});

test('it is never done twice at once, goes on after a failure, and is over when it is closed', async (t) => {
  const { context, ticks, tick } = await ticking(t);
  const waiting: PromiseWithResolvers<void>[] = [];
  const work = () => {
    const one = Promise.withResolvers<void>();
    waiting.push(one);
    return one.promise;
  };
  const lease = await heldLease(context, 'scheduling');
  const task = new LeasedTask(context, lease, { everyMs: 1, work, failure: 'it failed' });
  await tick();
  await tick();
  assert.equal(waiting.length, 1);
  waiting[0]?.reject(new Error('away'));
  await tick();
  await tick();
  assert.equal(waiting.length, 2);
  let closed = false;
  const closing = task.close().then(() => (closed = true));
  await later();
  assert.equal(closed, false, 'what runs is waited for');
  waiting[1]?.resolve();
  await closing;
  assert.equal(ticks.size, 0);
});
