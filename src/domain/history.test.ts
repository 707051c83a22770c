import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pastOf, type PastJob } from './history.ts';

const SPAN = { from: 0, to: 400, bucketMs: 100 };
const JOB: PastJob = {
  ...{ pool: 'mac', host: 'mac-1', warm: true },
  ...{ submittedAt: 10, assignedAt: 50, startedAt: 55, finishedAt: 250 },
};

test('a job uses its host and its pool from its hand-over to its end', () => {
  const { hosts, pools } = pastOf([JOB], SPAN);
  assert.deepEqual(hosts, [{ name: 'mac-1', busy: [0.5, 1, 0.5, 0] }]);
  assert.deepEqual(pools[0]?.busy, [0.5, 1, 0.5, 0]);
});

test('a job that runs uses its host until now, and one from before since the beginning', () => {
  const running = { ...JOB, submittedAt: -500, assignedAt: -300, finishedAt: undefined };
  assert.deepEqual(pastOf([running], SPAN).hosts[0]?.busy, [1, 1, 1, 1]);
  assert.equal(pastOf([running], SPAN).pools[0]?.jobs, 0, 'it waited before');
});

test('waits count where they ended, and warm workers are told from cold ones', () => {
  const cold = { ...JOB, warm: false, submittedAt: 20, assignedAt: 120 };
  const queued = { ...JOB, warm: undefined, assignedAt: undefined, host: undefined };
  const { wait, pools } = pastOf([JOB, cold, queued], SPAN);
  assert.deepEqual(
    wait.map(({ jobs, p95 }) => [jobs, p95]),
    [
      [1, 40],
      [1, 100],
      [0, 0],
      [0, 0],
    ],
  );
  const { jobs, warm, cold: misses } = pools[0] ?? {};
  assert.deepEqual({ jobs, warm, misses }, { jobs: 2, warm: 1, misses: 1 });
});

test('no bucket has more use than jobs, and all of it is what the jobs lasted', () => {
  const time = fc.integer({ min: -200, max: 600 });
  fc.assert(
    fc.property(fc.array(fc.tuple(time, time), { maxLength: 20 }), (pairs) => {
      const jobs = pairs.map(([a, b]) => ({
        ...{ ...JOB, assignedAt: Math.min(a, b), finishedAt: Math.max(a, b) },
      }));
      const [pool] = pastOf(jobs, SPAN).pools;
      const used = (pool?.busy ?? []).reduce((sum, each) => sum + each * SPAN.bucketMs, 0);
      const lasted = jobs.reduce(
        (sum, { assignedAt: from, finishedAt: to }) =>
          sum + Math.max(0, Math.min(to, 400) - Math.max(from, 0)),
        0,
      );
      assert.ok(Math.abs(used - lasted) < 1e-6);
      for (const each of pool?.busy ?? []) assert.ok(each <= jobs.length + 1e-9);
    }),
  );
});
