import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ControllerFixture } from '../../test/controller-fixture.ts';
import { facts } from '../../test/fleet-view.ts';
import { findHost, saveHostFacts, taskOf, type HostRow } from '../db/queries/hosts.ts';
import { latestEvents } from '../../test/events.ts';
import type { HostTaskKind } from '../domain/host-task.ts';
import { isProblem } from '../../test/problems.ts';
import { Auth } from './auth.ts';
import { change } from './context.ts';
import { askHost, callOff, endTask, giveTask, quarantine } from './host-tasks.ts';

async function hostThatCan(t: TestContext, ...tasks: HostTaskKind[]) {
  const fixture = await ControllerFixture.make(t);
  const { context, hostId } = fixture;
  await saveHostFacts(context.db, {
    ...{ id: hostId, facts: facts({ tasks }), agentVersion: '1.0.0' },
  });
  const row = async (): Promise<HostRow> => {
    const found = await findHost(context.db, hostId);
    assert.ok(found !== undefined);
    return found;
  };
  const ask = async (kind: HostTaskKind) => {
    const host = await row();
    await change(context, (changes) => askHost(changes, host, { kind, reason: 'by hand' }));
  };
  const task = async () => taskOf(await row());
  const ends = async (state: 'done' | 'failed', detail?: string) => {
    const id = (await task())?.id ?? '';
    const seen = { id, state, ...(detail === undefined ? {} : { detail }) };
    await change(context, (changes) => endTask(changes, hostId, seen));
  };
  return { fixture, context, hostId, row, ask, task, ends };
}

test('a host is asked for what it can do alone, and for one thing at a time', async (t) => {
  const { ask, task } = await hostThatCan(t, 'restart', 'clean');
  await assert.rejects(
    ask('reboot'),
    isProblem('conflict', /start its agent with --reboot-command/),
  );
  await ask('restart');
  assert.equal((await task())?.given, true, 'nothing has to end for that');
  await assert.rejects(ask('clean'), isProblem('conflict', /is to restart its agent \(by hand\)/));
});

test('what needs an empty host is given when it is empty, and has a time to end', async (t) => {
  const { fixture, context, hostId, ask, task } = await hostThatCan(t, 'reboot');
  await ask('reboot');
  const asked = await task();
  assert.deepEqual([asked?.given, asked?.endBy], [false, undefined]);
  await change(context, (changes) => giveTask(changes, hostId, 't-other'));
  assert.equal((await task())?.given, false, 'that was another task');
  await change(context, (changes) => giveTask(changes, hostId, asked?.id ?? ''));
  assert.equal((await task())?.endBy, fixture.time.wall + 20 * 60_000);
});

test('the agent’s word ends it, and an old word does not', async (t) => {
  const { context, hostId, ask, task, ends } = await hostThatCan(t, 'clean');
  await ask('clean');
  await change(context, (changes) => endTask(changes, hostId, { id: 't-old', state: 'done' }));
  assert.notEqual(await task(), undefined);
  await ends('failed', 'the disk does not answer');
  assert.equal(await task(), undefined);
  const [last] = await latestEvents(context.db, 1);
  assert.deepEqual([last?.state, last?.reason], ['task-failed', 'clean: the disk does not answer']);
});

test('a repair that fails is followed by the next one, at last by a person', async (t) => {
  const { context, row, task, ends } = await hostThatCan(t, 'restart', 'clean', 'reboot');
  const host = await row();
  await change(context, (changes) =>
    quarantine(changes, host, { ms: 1, repair: 'restart', reason: '5 of 5 failed there' }),
  );
  for (const kind of ['restart', 'clean', 'reboot'] as const) {
    assert.equal((await task())?.kind, kind);
    await ends('failed', 'no');
  }
  assert.equal(await task(), undefined);
  const after = await row();
  assert.deepEqual([after.state, after.quarantined_until], ['quarantined', null]);
  assert.match(after.state_reason ?? '', /could not reboot: no; for the 4. time: look at it/);
});

test('a person calls it off', async (t) => {
  const { context, row, ask, task } = await hostThatCan(t, 'reboot');
  await ask('reboot');
  const host = await row();
  await change(context, (changes) => callOff(changes, host));
  assert.equal(await task(), undefined);
});

test('a host that joins again was installed anew, and is not asked once more', async (t) => {
  const { context, hostId, ask, task } = await hostThatCan(t, 'reimage');
  const auth = new Auth(context);
  const { token } = await auth.createJoinToken({ ttlMs: 60_000, uses: 2 });
  await ask('reimage');
  await auth.join(token, 'mac-1', () => false);
  const id = (await task())?.id ?? assert.fail('it was not begun, and is still to be');
  await change(context, (changes) => giveTask(changes, hostId, id));
  await auth.join(token, 'mac-1', () => false);
  assert.equal(await task(), undefined);
  const [last] = await latestEvents(context.db, 1);
  assert.equal(last?.state, 'reimage-done');
});
