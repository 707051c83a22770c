import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture, heldLease } from '../../../test/controller-fixture.ts';
import { until } from '../../../test/system/pomona.ts';
import { openBlobs } from '../../drivers/blob/drivers.ts';
import { encodeFrame } from '../../protocol/log-frames.ts';
import { BlobLogStore } from './blob-log-store.ts';
import { LogKeeper } from './log-keeper.ts';

test('the log of a job that ended becomes an object, of one that runs it does not', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { context, dir } = fixture;
  const blobs = await openBlobs(`file://${dir}/blobs`);
  const logs = new BlobLogStore(context.db, blobs);
  const lease = await heldLease(context, 'tidiness');
  const keeper = new LogKeeper(context, { lease, logs });
  t.after(() => keeper.close());
  const keys = async () => {
    const found: string[] = [];
    for await (const { key } of blobs.list('logs/')) found.push(key);
    return found;
  };
  const ended = await fixture.assigned();
  const running = await fixture.assigned();
  const log = encodeFrame(0, Buffer.from('said'));
  for (const { jobId } of [ended, running]) await logs.append(jobId, 1, 0, log);
  const at = fixture.time.wall;
  const result = { outcome: 'succeeded', logBytes: log.length, finishedAt: at } as const;
  await fixture.saw({ id: ended.workerId, state: 'finishing', jobId: ended.jobId, result });
  await until('it is an object', async () => (await keys()).length > 0, 5_000);
  assert.deepEqual(await keys(), [`logs/${ended.jobId}/1/0-${log.length}.zst`]);
});

test('what was not finished when its job ended is finished later', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { context, dir } = fixture;
  const logs = new BlobLogStore(context.db, await openBlobs(`file://${dir}/blobs`));
  const { jobId, workerId } = await fixture.assigned();
  await logs.append(jobId, 1, 0, encodeFrame(0, Buffer.from('said')));
  const result = { outcome: 'failed', logBytes: 14, finishedAt: fixture.time.wall } as const;
  await fixture.saw({ id: workerId, state: 'finishing', jobId, result });
  assert.deepEqual(await logs.unfinished(), [{ jobId, epoch: 1 }]);
  const lease = await heldLease(context, 'tidiness');
  const keeper = new LogKeeper(context, { lease, logs });
  t.after(() => keeper.close());
  await keeper.finishAll();
  assert.deepEqual(await logs.unfinished(), []);
});
