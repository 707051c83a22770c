import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { savePool } from '../../db/queries/pools.ts';
import { poolSpecSchema } from '../../protocol/api/resources.ts';
import { carryOut } from '../reconcile/carry-out.ts';
import { capacity, jobsToPlay, poolHistory } from './history.ts';
import { samplePools } from './samples.ts';
import { jobTimeline } from './timeline.ts';

const MINUTE_MS = 60_000;

async function withPool(t: TestContext): Promise<ControllerFixture> {
  const fixture = await ControllerFixture.make(t);
  const spec = JSON.stringify(poolSpecSchema.parse({ name: 'default', ready: 2, max: 9 }));
  await savePool(fixture.context.db, { name: 'default', origin: 'api', spec });
  return fixture;
}

/** A job that found a worker ready, waited a minute and ran for ten. */
async function ran(fixture: ControllerFixture): Promise<string> {
  const workerId = await fixture.readyWorker();
  const jobId = await fixture.job();
  fixture.time.wall += MINUTE_MS;
  await carryOut(fixture.context, [{ type: 'assign', jobId, workerId }]);
  await fixture.saw({ id: workerId, jobId, state: 'running', startedAt: fixture.time.wall });
  fixture.time.wall += 10 * MINUTE_MS;
  const result = { outcome: 'succeeded', finishedAt: 0, logBytes: 0 } as const;
  await fixture.saw({ id: workerId, jobId, state: 'finishing', result });
  return jobId;
}

test('a pool’s history has how it was each minute, and whether jobs found a worker ready', async (t) => {
  const fixture = await withPool(t);
  await fixture.readyWorker();
  await samplePools(fixture.context);
  await samplePools(fixture.context);
  await ran(fixture);
  const { samples, demand } = await poolHistory(fixture.context, 'default', 1);
  const told = samples.map(({ ready, wantReady, max, busy }) => [ready, wantReady, max, busy]);
  assert.deepEqual(told, [[1, 2, 9, 0]], 'a minute is written down once');
  assert.equal(
    demand.reduce((sum, { warm }) => sum + warm, 0),
    1,
  );
  await assert.rejects(poolHistory(fixture.context, 'none', 1), /there is no pool none/);
});

test('capacity tells how long jobs waited, who ran them and what that cost', async (t) => {
  const fixture = await withPool(t);
  await ran(fixture);
  const prices = { currency: 'EUR', hosts: [{ labels: [], perHour: 2 }] };
  const { pools, hosts, cost } = await capacity(fixture.context, 1, prices);
  assert.deepEqual(
    pools.map(({ pool, jobs, warm, wait }) => [pool, jobs, warm, wait.p95]),
    [['default', 1, 1, MINUTE_MS]],
  );
  assert.deepEqual(
    hosts.map(({ name }) => name),
    ['mac-1'],
  );
  assert.equal(cost?.total.toFixed(2), '2.00', 'it was there all the hour');
  assert.equal(cost?.perJob, cost?.total);
});

test('what ran is what the simulator plays', async (t) => {
  const fixture = await withPool(t);
  await ran(fixture);
  await fixture.job();
  const [job, ...others] = await jobsToPlay(fixture.context, 1);
  assert.equal(job?.lengthMs, 10 * MINUTE_MS);
  assert.deepEqual(others, [], 'one that waits has no length');
});

test('a job’s time line has its own states and those of its worker, in order', async (t) => {
  const fixture = await withPool(t);
  const jobId = await ran(fixture);
  const { events } = await jobTimeline(fixture.context, jobId);
  assert.deepEqual(
    events.map(({ of, state }) => `${of} ${state}`),
    [
      ...['worker requested', 'worker ready', 'job assigned', 'job running'],
      ...['worker running', 'job succeeded', 'worker finishing'],
    ],
  );
});

test('a job’s time line leaves out what its worker did for the jobs before and after', async (t) => {
  const fixture = await withPool(t);
  const id = await fixture.readyWorker({ jobs: 3 });
  const result = { outcome: 'succeeded', finishedAt: 0, logBytes: 0 } as const;
  const jobs: string[] = [];
  for (const epoch of [1, 2, 3]) {
    if (epoch > 1) await fixture.saw({ id, epoch, state: 'ready' });
    const jobId = await fixture.job();
    await carryOut(fixture.context, [{ type: 'assign', jobId, workerId: id }]);
    await fixture.saw({ id, epoch, jobId, state: 'running', startedAt: fixture.time.wall });
    await fixture.saw({ id, epoch, jobId, state: 'finishing', result });
    jobs.push(jobId);
  }
  for (const jobId of jobs) {
    const { events } = await jobTimeline(fixture.context, jobId);
    assert.deepEqual(
      events.map(({ of, state }) => `${of} ${state}`).slice(0, 6),
      [
        ...['worker requested', 'worker ready', 'job assigned', 'job running'],
        ...['worker running', 'job succeeded'],
      ],
      jobId,
    );
  }
});
