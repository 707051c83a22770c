import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setHostState } from '../../db/queries/hosts.ts';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { carryOut } from './carry-out.ts';

test('a decision made on a stale reading never gives one worker two jobs, nor one job two workers', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const [first, second] = [await fixture.job(), await fixture.job()];
  const [left, right] = [await fixture.readyWorker(), await fixture.readyWorker()];
  await carryOut(fixture.context, [
    { type: 'assign', jobId: first, workerId: left },
    { type: 'assign', jobId: first, workerId: right },
    { type: 'assign', jobId: second, workerId: left },
  ]);
  assert.equal((await fixture.jobRow(first)).worker_id, left);
  assert.equal((await fixture.jobRow(second)).state, 'queued');
  assert.equal((await fixture.workerRow(left)).job_id, first);
  assert.equal((await fixture.workerRow(right)).job_id, null);
});

test('a host that drains gets no job and no worker', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const jobId = await fixture.job();
  const workerId = await fixture.readyWorker();
  const spec = JSON.parse((await fixture.workerRow(workerId)).spec);
  await setHostState(fixture.context.db, fixture.hostId, { state: 'draining' });
  await carryOut(fixture.context, [
    { type: 'assign', jobId, workerId },
    { type: 'create', hostId: fixture.hostId, spec },
  ]);
  assert.equal((await fixture.jobRow(jobId)).state, 'queued');
  const count = await fixture.context.db.get<{ n: number }>('SELECT COUNT(*) AS n FROM workers');
  assert.equal(count?.n, 1);
});

test('a worker that got a job meanwhile is not retired', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { workerId } = await fixture.assigned();
  await carryOut(fixture.context, [{ type: 'destroy', workerId, reason: 'nothing needs it' }]);
  assert.equal((await fixture.workerRow(workerId)).goal, 'run');
});

test('a worker of a lost host takes its job with it exactly once', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned({ retries: 2 });
  const lose = { type: 'lose', workerId, reason: 'its host is gone' } as const;
  await carryOut(fixture.context, [lose, lose]);
  const job = await fixture.jobRow(jobId);
  assert.deepEqual([job.state, job.retries_left], ['queued', 1]);
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
});

test('what is decided together is carried out together: an error undoes all of it', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const jobId = await fixture.job();
  const workerId = await fixture.readyWorker();
  const broken = { type: 'create', hostId: fixture.hostId, spec: undefined } as never;
  await assert.rejects(carryOut(fixture.context, [{ type: 'assign', jobId, workerId }, broken]));
  assert.equal((await fixture.jobRow(jobId)).state, 'queued');
  assert.equal((await fixture.workerRow(workerId)).goal, 'ready');
});
