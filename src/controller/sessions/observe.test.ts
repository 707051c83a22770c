import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { carryOut } from '../reconcile/carry-out.ts';

test('a job whose worker failed before it began goes back to the queue and costs no retry', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned({ retries: 1 });
  await fixture.saw({ id: workerId, state: 'failed', reason: 'no source' });
  const job = await fixture.jobRow(jobId);
  assert.deepEqual([job.state, job.retries_left, job.reason], ['queued', 1, 'no source']);
  assert.equal((await fixture.workerRow(workerId)).goal, 'destroyed');
});

test('a job that may have run is lost with its worker, unless it asked for retries', async (t) => {
  const fixture = await ControllerFixture.make(t);
  for (const [retries, state, left] of [
    [0, 'finished', 0],
    [2, 'queued', 1],
  ] as const) {
    const { jobId, workerId } = await fixture.assigned({ retries });
    await fixture.saw({ id: workerId, state: 'running', jobId, startedAt: fixture.time.wall });
    assert.equal((await fixture.jobRow(jobId)).state, 'running');
    await fixture.saw({ id: workerId, state: 'failed', jobId, reason: 'gone' });
    const job = await fixture.jobRow(jobId);
    assert.deepEqual([job.state, job.retries_left], [state, left]);
    assert.equal(job.outcome, retries === 0 ? 'lost' : null);
  }
});

test('a worker seen running that fails without naming its job may have run it', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  await fixture.saw({ id: workerId, state: 'running', jobId, startedAt: fixture.time.wall });
  await fixture.saw({ id: workerId, state: 'failed', reason: 'its files are damaged' });
  const job = await fixture.jobRow(jobId);
  assert.deepEqual([job.state, job.outcome], ['finished', 'lost']);
});

test('a worker that a complete report leaves out is gone, and its job with it', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  await fixture.reported({ complete: false, workers: [] });
  assert.equal((await fixture.jobRow(jobId)).state, 'assigned');
  await fixture.reported({ complete: true, workers: [] });
  assert.equal((await fixture.workerRow(workerId)).state, 'destroyed');
  assert.equal((await fixture.jobRow(jobId)).outcome, 'lost');
});

test('a worker only just asked for may be missing from a complete report', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const first = await fixture.readyWorker();
  const spec = JSON.parse((await fixture.workerRow(first)).spec);
  await carryOut(fixture.context, [{ type: 'create', hostId: fixture.hostId, spec }]);
  await fixture.reported({ complete: true, workers: [{ id: first, epoch: 1, state: 'ready' }] });
  const states = await fixture.context.db.all<{ state: string }>('SELECT state FROM workers');
  assert.deepEqual(states.map(({ state }) => state).toSorted(), ['ready', 'requested']);
});

test('reports of another host, of another epoch, and of earlier states change nothing', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  const failed = { id: workerId, epoch: 1, state: 'failed', jobId } as const;
  await fixture.reported({ complete: false, workers: [failed] }, 'h-2');
  await fixture.reported({ complete: false, workers: [{ ...failed, epoch: 2 }] });
  await fixture.saw({ id: workerId, state: 'booting' });
  assert.equal((await fixture.workerRow(workerId)).state, 'ready');
  assert.equal((await fixture.jobRow(jobId)).state, 'assigned');
});

test('a result ends its job once: a second one, or a late loss, changes nothing', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned({ retries: 3 });
  const base = { logBytes: 7, startedAt: fixture.time.wall, finishedAt: fixture.time.wall };
  const ended = { id: workerId, state: 'finishing', jobId } as const;
  await fixture.saw({ ...ended, result: { ...base, outcome: 'failed', exitCode: 3 } });
  await fixture.saw({ ...ended, result: { ...base, outcome: 'succeeded', exitCode: 0 } });
  await fixture.saw({ id: workerId, state: 'failed', jobId });
  const job = await fixture.jobRow(jobId);
  assert.deepEqual([job.outcome, job.exit_code, job.log_bytes], ['failed', 3, 7]);
  const { n } = (await fixture.context.db.get<{ n: number }>(
    "SELECT COUNT(*) AS n FROM events WHERE kind = 'job' AND subject = $1 AND state IN ('failed', 'succeeded', 'queued', 'lost')",
    [jobId],
  )) ?? { n: 0 };
  assert.equal(n, 1);
});

test('the result of a worker that the job was taken from is not the job’s', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { jobId, workerId } = await fixture.assigned();
  await fixture.saw({ id: workerId, state: 'failed', reason: 'no source' });
  const second = await fixture.readyWorker();
  await carryOut(fixture.context, [{ type: 'assign', jobId, workerId: second }]);
  const at = fixture.time.wall;
  const result = { outcome: 'succeeded', exitCode: 0, logBytes: 0, startedAt: at, finishedAt: at };
  await fixture.saw({
    id: workerId,
    state: 'failed',
    jobId,
    result: { ...result, outcome: 'succeeded' },
  });
  const job = await fixture.jobRow(jobId);
  assert.deepEqual([job.state, job.worker_id, job.epoch], ['assigned', second, 2]);
});

test('a host whose clock is wrong cannot move a start out of the time between hand-over and now', async (t) => {
  const fixture = await ControllerFixture.make(t);
  for (const off of [-86_400_000, 86_400_000]) {
    const { jobId, workerId } = await fixture.assigned();
    const startedAt = fixture.time.wall + off;
    await fixture.saw({ id: workerId, state: 'running', jobId, startedAt });
    assert.equal((await fixture.jobRow(jobId)).started_at, fixture.time.wall);
  }
});
