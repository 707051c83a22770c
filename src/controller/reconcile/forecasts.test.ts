import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { savePool } from '../../db/queries/pools.ts';
import { pool } from '../../../test/fleet-view.ts';
import { SLOT_MS } from '../../domain/scheduling/forecast.ts';
import { Forecasts } from './forecasts.ts';
import { carryOut } from './carry-out.ts';

test('jobs that got a worker are demand, once each, and raise what the pool keeps ready', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { db, clock } = fixture.context;
  for (const forecast of ['on', undefined] as const) {
    const name = forecast === 'on' ? 'default' : 'other';
    const spec = JSON.stringify(pool(name, forecast === undefined ? {} : { forecast }));
    await savePool(db, { name, origin: 'config', spec });
  }
  const forecasts = new Forecasts(clock);
  assert.deepEqual(await forecasts.current(db), new Map([['default', 0]]));
  for (let n = 0; n < 9; n += 1) await fixture.assigned();
  // One comes back, and is given again.
  const { jobId, workerId } = await fixture.assigned();
  await fixture.saw({ id: workerId, state: 'failed', reason: 'no source' });
  const again = await fixture.readyWorker();
  await carryOut(fixture.context, [{ type: 'assign', jobId, workerId: again }]);
  const demand = await db.all<{ n: number }>('SELECT n FROM demand');
  assert.deepEqual(
    demand.map(({ n }) => n),
    [10],
  );
  fixture.time.wall += SLOT_MS;
  assert.deepEqual(await forecasts.current(db), new Map([['default', 0]]), 'for a minute');
  fixture.time.monotonic += 60_000;
  const ready = (await forecasts.current(db)).get('default') ?? 0;
  assert.ok(ready >= 4 && ready <= 10, `${ready}`);
});
