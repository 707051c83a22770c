import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../test/controller-fixture.ts';
import { setHostState, setHostTask } from '../db/queries/hosts.ts';
import type { ObservedWorker } from '../domain/worker.ts';
import { change } from './context.ts';
import { cancelJob } from './job-endings.ts';
import { keepJobsWorker, letKeptWorkersGo } from './kept-workers.ts';

const HOUR_MS = 3_600_000;

function ended(
  jobId: string,
  id: string,
): Partial<ObservedWorker> & Pick<ObservedWorker, 'id' | 'state'> {
  const result = { outcome: 'failed', exitCode: 1, finishedAt: 0, logBytes: 0 } as const;
  return { id, jobId, state: 'finishing', result };
}

/** A job that ended on a worker that is kept for an hour. */
async function kept(t: Parameters<typeof ControllerFixture.make>[0]) {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  await keepJobsWorker(fixture.context, jobId, HOUR_MS);
  await fixture.saw({ id: workerId, jobId, state: 'running', startedAt: fixture.time.wall });
  await fixture.saw(ended(jobId, workerId));
  return { fixture, jobId, workerId };
}

test('a worker that is to be kept stays when its job has ended, until its time is over', async (t) => {
  const { fixture, jobId, workerId } = await kept(t);
  assert.equal((await fixture.jobRow(jobId)).state, 'finished');
  assert.equal((await fixture.workerRow(workerId)).goal, 'run');
  fixture.time.wall += HOUR_MS - 1;
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'run');
  fixture.time.wall += 1;
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
});

test('a worker that nobody asked to keep goes with its job', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  await fixture.saw({ id: workerId, jobId, state: 'running', startedAt: 0 });
  await fixture.saw(ended(jobId, workerId));
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
  await assert.rejects(keepJobsWorker(fixture.context, jobId, HOUR_MS), /its worker is gone/);
});

test('a kept worker is let go at once when somebody says so, and kept for longer when they do', async (t) => {
  const { fixture, jobId, workerId } = await kept(t);
  await keepJobsWorker(fixture.context, jobId, 2 * HOUR_MS);
  fixture.time.wall += HOUR_MS + 1;
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'run');
  await keepJobsWorker(fixture.context, jobId, 0);
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
});

test('a host that has to be empty by now does not wait for what is kept', async (t) => {
  const { fixture, workerId } = await kept(t);
  const { db } = fixture.context;
  const drainBy = fixture.time.wall + 60_000;
  await setHostState(db, fixture.hostId, { state: 'draining', drainBy });
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'run');
  fixture.time.wall = drainBy;
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
});

test('a job that hangs is cancelled, and its worker stays to be looked into', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  await keepJobsWorker(fixture.context, jobId, HOUR_MS);
  await fixture.saw({ id: workerId, jobId, state: 'running', startedAt: fixture.time.wall });
  const job = await fixture.jobRow(jobId);
  await change(fixture.context, (changes) => cancelJob(changes, job, 'it hangs'));
  await fixture.saw({
    ...ended(jobId, workerId),
    result: { outcome: 'cancelled', finishedAt: 0, logBytes: 0 },
  });
  const row = await fixture.workerRow(workerId);
  assert.deepEqual([row.goal, Number(row.kept_until)], ['cancel', fixture.time.wall + HOUR_MS]);
  assert.equal((await fixture.jobRow(jobId)).outcome, 'cancelled');
});

test('a host that is to reboot by a time does not wait for what is kept beyond it', async (t) => {
  const { fixture, workerId } = await kept(t);
  const drainBy = fixture.time.wall + 60_000;
  const task = { id: 't-1', kind: 'reboot', given: false, reason: 'by hand', drainBy } as const;
  await setHostTask(fixture.context.db, fixture.hostId, task);
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'run');
  fixture.time.wall = drainBy;
  await letKeptWorkersGo(fixture.context);
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
});

test('a kept worker that comes with every report of its host stays as it is', async (t) => {
  const { fixture, jobId, workerId } = await kept(t);
  await fixture.reported({ complete: true, workers: [{ epoch: 1, ...ended(jobId, workerId) }] });
  const row = await fixture.workerRow(workerId);
  assert.deepEqual([row.goal, row.state], ['run', 'finishing']);
});
