import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFleet, type FleetPlan } from './fleet-run.ts';
import { findFleet, parseTarget } from './target.ts';
import { readTrace, TraceError } from './trace.ts';

const PLAN: FleetPlan = { hosts: 1, slots: 2, ready: 2, makeMs: 30_000, destroyMs: 5_000 };
const job = (at: number, lengthMs = 60_000) => ({ at, lengthMs, team: '' });

test('a job that finds a ready worker does not wait, and the others wait for a place', () => {
  const at = 1_000_000;
  // All but the first and the last find workers that were made before they came.
  const trace = [job(0, 1), job(at / 2, 1), job(at), job(at), job(at)];
  const { wait, jobs } = runFleet(PLAN, trace);
  assert.equal(jobs, 5);
  assert.ok(wait.p50 < 1_000, `${wait.p50}`);
  // The end of a job, the end of its worker, and the making of another.
  assert.ok(wait.longest >= 60_000 + 5_000 + 30_000 && wait.longest < 96_000, `${wait.longest}`);
});

test('the use is the share of all places in which jobs ran', () => {
  const { use, lastedMs } = runFleet({ ...PLAN, makeMs: 0 }, [job(0), job(0)]);
  assert.ok(use > 0.95 && use <= 1, `${use}`);
  assert.ok(lastedMs >= 60_000);
});

test('the fewest hosts that reach a target are found, and one less does not', () => {
  const trace = Array.from({ length: 60 }, (_, n) => job(n * 10_000, 600_000));
  const target = parseTarget('p95 wait < 2m') ?? assert.fail();
  const run = (hosts: number) => runFleet({ ...PLAN, hosts, ready: hosts * 2 }, trace);
  const { hosts } = findFleet(target, run);
  assert.ok(hosts !== undefined);
  assert.ok(run(hosts).wait.p95 < 120_000);
  assert.ok(run(hosts - 1).wait.p95 >= 120_000);
});

test('a target that no fleet reaches is told as such', () => {
  const target = parseTarget('longest wait < 1s') ?? assert.fail();
  const run = (hosts: number) => runFleet({ ...PLAN, hosts, ready: 0 }, [job(0)]);
  assert.equal(findFleet(target, run).hosts, undefined);
  assert.equal(parseTarget('wait < 2m'), undefined);
  assert.equal(parseTarget('p95 wait < soon'), undefined);
});

test('a CSV is read by its heading, oldest job first', () => {
  const text = 'team,duration,queued_at\nred,90,1767571300\n,"60",2026-01-05T00:00:00Z\n';
  assert.deepEqual(readTrace(text, 'jobs.csv'), [
    { at: Date.parse('2026-01-05T00:00:00Z'), lengthMs: 60_000, team: '' },
    { at: 1_767_571_300_000, lengthMs: 90_000, team: 'red' },
  ]);
});

test('histories of GitHub and Jenkins are read, without jobs that did not end', () => {
  const github = {
    jobs: [
      {
        created_at: '2026-01-05T08:00:00Z',
        ...{ started_at: '2026-01-05T08:01:00Z', completed_at: '2026-01-05T08:11:00Z' },
      },
      { created_at: '2026-01-05T09:00:00Z', started_at: null, completed_at: null },
    ],
  };
  const at = Date.parse('2026-01-05T08:00:00Z');
  const expected = [{ at, lengthMs: 600_000, team: '' }];
  assert.deepEqual(readTrace(JSON.stringify(github), 'jobs.json'), expected);
  const jenkins = {
    builds: [
      { timestamp: at, duration: 600_000 },
      { timestamp: at, duration: 0 },
    ],
  };
  assert.deepEqual(readTrace(JSON.stringify(jenkins), 'builds.json'), expected);
});

test('a trace that is not as expected says where', () => {
  const wrong = {
    'when,how\n1,2': /jobs\.csv:1: expected a heading with queued_at and duration/,
    'queued_at,duration\nsoon,2': /jobs\.csv:2: expected a time/,
    'queued_at,duration\n1,2\n1,long': /jobs\.csv:3: expected seconds as duration, not long/,
    'queued_at,duration\n': /no job that ended is in it/,
    '{"jobs": 7}': /expected an array/,
    '{': /jobs\.csv/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    assert.throws(
      () => readTrace(text, 'jobs.csv'),
      (error: Error) => error instanceof TraceError && message.test(error.message),
      text,
    );
  }
});
