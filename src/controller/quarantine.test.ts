import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../test/controller-fixture.ts';
import { noteOutcome } from '../db/queries/host-outcomes.ts';
import { enrolHost, findHost } from '../db/queries/hosts.ts';
import { carryOut } from './reconcile/carry-out.ts';

async function fails(fixture: ControllerFixture, times: number): Promise<void> {
  for (let n = 0; n < times; n += 1) {
    const { jobId, workerId } = await fixture.assigned();
    const at = fixture.time.wall;
    const result = { outcome: 'failed', exitCode: 1, logBytes: 0, finishedAt: at } as const;
    await fixture.saw({ id: workerId, state: 'finishing', jobId, result });
    await fixture.saw({ id: workerId, state: 'destroyed', jobId });
  }
}

test('a host whose jobs fail while they pass elsewhere is quarantined, and tried again', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { db } = fixture.context;
  await enrolHost(db, { id: 'h-2', name: 'mac-2', credentialHash: 'other', now: 0 });
  for (let n = 0; n < 30; n += 1) {
    const at = fixture.time.wall;
    await noteOutcome(db, { hostId: 'h-2', pool: 'default', at, failed: n === 0 });
  }
  await fails(fixture, 4);
  assert.equal((await findHost(db, fixture.hostId))?.state, 'active');
  await fails(fixture, 1);
  const row = await findHost(db, fixture.hostId);
  assert.equal(row?.state, 'quarantined');
  assert.match(row?.state_reason ?? '', /5 of 5 failed there, elsewhere 1 of 30/);
  assert.equal(row?.quarantined_until, fixture.time.wall + 600_000);
  const release = {
    type: 'host',
    hostId: fixture.hostId,
    from: 'quarantined',
    to: 'active',
  } as const;
  await carryOut(fixture.context, [{ ...release, reason: 'its quarantine is over' }]);
  const after = await findHost(db, fixture.hostId);
  assert.deepEqual([after?.state, after?.strikes], ['active', 1]);
  await fails(fixture, 4);
  assert.equal((await findHost(db, fixture.hostId))?.state, 'active', 'what was is forgotten');
});

test('where all jobs fail no host is to blame', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { db } = fixture.context;
  for (let n = 0; n < 30; n += 1) {
    const at = fixture.time.wall;
    await noteOutcome(db, { hostId: 'h-2', pool: 'default', at, failed: true });
  }
  await fails(fixture, 10);
  assert.equal((await findHost(db, fixture.hostId))?.state, 'active');
});
