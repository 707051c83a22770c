import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isThere } from '../platform/is-there.ts';
import { silentLogger } from '../platform/logger.ts';
import { OVERTIME_MS, RentedHost } from './rented.ts';

const HOUR = 3_600_000;

async function rentedHost(t: TestContext, endCommand?: string) {
  const dataDir = await mkdtemp(join(tmpdir(), 'pomona-rented-'));
  const given = join(dataDir, 'given-back');
  const state = { now: 0, connected: true, busy: 0, ended: 0 };
  const started: RentedHost[] = [];
  t.after(async () => {
    for (const host of started) await host.close();
    await rm(dataDir, { recursive: true });
  });
  const start = async () => {
    const host = await RentedHost.start({
      ...{ dataDir, hardAgeMs: HOUR, endCommand: endCommand ?? `touch ${given}` },
      ...{ log: silentLogger, now: () => state.now },
      ...{ isConnected: () => state.connected, busy: () => state.busy },
      ended: () => void (state.ended += 1),
    });
    started.push(host);
    return host;
  };
  return { state, start, isGivenBack: () => isThere(given) };
}

test('a host whose time is over is given back when no controller answers, and nothing runs', async (t) => {
  const { state, start, isGivenBack } = await rentedHost(t);
  const host = await start();
  assert.equal(host.endsAt, HOUR);
  state.now = HOUR;
  await host.look();
  assert.equal(await isGivenBack(), false, 'the controller sees to it');
  state.connected = false;
  state.busy = 1;
  await host.look();
  assert.equal(await isGivenBack(), false, 'a job runs');
  state.busy = 0;
  await host.look();
  assert.deepEqual([await isGivenBack(), state.ended], [true, 1]);
});

test('what runs holds a host up for two hours and no longer', async (t) => {
  const { state, start, isGivenBack } = await rentedHost(t);
  const host = await start();
  Object.assign(state, { now: HOUR + OVERTIME_MS - 1, connected: false, busy: 1 });
  await host.look();
  assert.equal(await isGivenBack(), false);
  state.now += 1;
  await host.look();
  assert.equal(await isGivenBack(), true);
});

test('its time goes on while its agent is away', async (t) => {
  const { state, start } = await rentedHost(t);
  await start();
  state.now = HOUR / 2;
  assert.equal((await start()).endsAt, HOUR);
});

test('a host that cannot be given back is tried again', async (t) => {
  const { state, start } = await rentedHost(t, 'exit 1');
  const host = await start();
  await host.giveBack('this host was removed');
  await host.look();
  assert.equal(state.ended, 0);
});
