import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../../test/controller-fixture.ts';
import { findConsole, insertConsole, openConsoles } from '../../db/queries/consoles.ts';
import { endConsolesOfGone } from './consoles.ts';
import { consolesOf } from './ways-in.ts';

test('what a controller that is gone had open is over, and what others have stays', async (t) => {
  const { context, hostId } = await ControllerFixture.make(t);
  for (const controller of ['c-1', 'c-2', 'c-dead']) {
    await insertConsole(context.db, {
      ...{ id: `of-${controller}`, kind: 'shell', worker_id: 'w-1', host_id: hostId },
      ...{ controller_id: controller, who: 'ada', cols: 80, lines: 24, opened_at: 1 },
    });
  }
  await endConsolesOfGone(context, new Set(['c-2']));
  const open = (await openConsoles(context.db, hostId)).map(({ id }) => id);
  assert.deepEqual(open, ['of-c-1', 'of-c-2']);
  assert.notEqual((await findConsole(context.db, 'of-c-dead'))?.ended_at, null);
});

const SPEC = {
  ...({ kind: 'vm', vm: 'qemu', guest: 'linux', pool: 'p', limits: {} } as const),
  image: { name: 'i', digest: 'd' },
};
const FACTS = {
  ...({ os: 'linux', osVersion: '12', arch: 'x64', cpus: 1, memoryBytes: 1, labels: [] } as const),
  ...{ capacity: { workers: 1, macosVms: 0 }, sandboxes: [], stores: [], vms: [], images: [] },
  consoles: { sandboxes: true, shells: ['qemu', 'tart'], screens: ['qemu'] },
};

test('a worker is looked into while it has a job or is kept after it, and at no other time', () => {
  const of = (
    state: 'ready' | 'running' | 'finishing',
    kept: number | null,
    goal = 'run' as const,
  ) => consolesOf({ state, goal, kept_until: kept }, SPEC, FACTS);
  assert.deepEqual(of('running', null), ['shell', 'screen']);
  assert.deepEqual(of('finishing', 9), ['shell', 'screen']);
  assert.deepEqual(of('finishing', null), []);
  assert.deepEqual(of('ready', null), [], 'its job would find what people did');
  const running = { state: 'running', kept_until: null } as const;
  assert.deepEqual(consolesOf({ ...running, goal: 'destroyed' }, SPEC, FACTS), []);
  const tart = { ...SPEC, vm: 'tart' };
  assert.deepEqual(consolesOf({ ...running, goal: 'run' }, tart, FACTS), ['shell']);
  const { consoles: _, ...older } = FACTS;
  assert.deepEqual(consolesOf({ ...running, goal: 'run' }, SPEC, older), []);
});
