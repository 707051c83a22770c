import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { MacosSlots } from '../../domain/host.ts';
import type { VmDriver, VmInfo } from '../../drivers/vm/vm.ts';
import { silentLogger } from '../../platform/logger.ts';
import { MacosSlotWatch } from './macos-slots.ts';

const PREFIX = 'pomona-f1-';

/** A Mac on which so many guests run, and that may be rebooted. */
async function mac(t: TestContext) {
  const dataDir = await mkdtemp(join(tmpdir(), 'pomona-slots-'));
  const state = { foreign: 0, own: [] as VmInfo['state'][], workers: 0 };
  const told: MacosSlots[] = [];
  const driver = {
    foreignMacosGuests: async () => state.foreign,
    list: async () =>
      state.own.map((each, number) => ({ name: `${PREFIX}${number}`, state: each })),
  } as unknown as VmDriver;
  const reboots = join(dataDir, 'reboots');
  const watch = new MacosSlotWatch({
    ...{ dataDir, ownedPrefix: PREFIX, log: silentLogger },
    drivers: async () => [driver],
    workers: () => state.workers,
    rebootCommand: `echo rebooted >> ${reboots}`,
    changed: (slots) => told.push(slots),
  });
  t.after(async () => {
    watch.close();
    await rm(dataDir, { recursive: true });
  });
  await watch.look();
  const rebooted = () => readFile(reboots, 'utf8').catch(() => '');
  return { watch, state, told, dataDir, rebooted };
}

test('guests of others are told when their number changes', async (t) => {
  const { watch, state, told } = await mac(t);
  await watch.look();
  assert.deepEqual(told, []);
  state.foreign = 2;
  await watch.look();
  await watch.look();
  assert.deepEqual(told, [{ foreign: 2, leaked: false }]);
});

test('a guest that is refused while two run is no leak, whoever runs them', async (t) => {
  const { watch, state, told, rebooted } = await mac(t);
  state.foreign = 1;
  state.own = ['running', 'stopped'];
  await watch.refused();
  assert.deepEqual(told.at(-1), { foreign: 1, leaked: false });
  state.foreign = 0;
  state.own = ['booting', 'unknown'];
  await watch.refused();
  assert.deepEqual(told.at(-1), { foreign: 0, leaked: false });
  assert.equal(await rebooted(), '');
});

test('refused with a free slot, the host drains, is rebooted once it is empty, and once only', async (t) => {
  const { watch, state, told, rebooted } = await mac(t);
  state.own = ['running'];
  state.workers = 2;
  await watch.refused();
  assert.deepEqual(told.at(-1), { foreign: 0, leaked: true });
  assert.equal(await rebooted(), '');
  state.workers = 0;
  await watch.look();
  await watch.look();
  assert.equal(await rebooted(), 'rebooted\n');
});

test('after the reboot the host is as any other', async (t) => {
  const { watch, state, told, dataDir } = await mac(t);
  state.workers = 1;
  await watch.refused();
  assert.equal(told.at(-1)?.leaked, true);
  await writeFile(join(dataDir, 'slot-leak.json'), JSON.stringify({ boot: 'an earlier one' }));
  await watch.look();
  assert.deepEqual(told.at(-1), { foreign: 0, leaked: false });
});
