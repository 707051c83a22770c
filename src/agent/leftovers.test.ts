import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { LEAK_GRACE_MS, type Leak } from '../domain/leak.ts';
import { silentLogger } from '../platform/logger.ts';
import { LeftoverWatch } from './leftovers.ts';

function watchOf(t: TestContext) {
  const there = new Map<string, () => Promise<void>>();
  const time = { now: 1_000 };
  const told: (readonly Leak[])[] = [];
  const watch = new LeftoverWatch({
    find: async () => [...there].map(([name, remove]) => ({ kind: 'VM of tart', name, remove })),
    ...{ log: silentLogger, now: () => time.now, changed: (leaks) => void told.push(leaks) },
  });
  t.after(() => watch.close());
  const leave = (name: string) => there.set(name, async () => void there.delete(name));
  return { there, time, told, watch, leave };
}

test('what was left is told of first, and removed after a while', async (t) => {
  const { there, time, told, watch, leave } = watchOf(t);
  leave('pomona-f-w-1');
  await watch.look(LEAK_GRACE_MS);
  assert.deepEqual(told, [[{ kind: 'VM of tart', name: 'pomona-f-w-1', since: 1_000 }]]);
  time.now += LEAK_GRACE_MS - 1;
  await watch.look(LEAK_GRACE_MS);
  assert.equal(there.size, 1);
  time.now += 1;
  await watch.look(LEAK_GRACE_MS);
  assert.equal(there.size, 0);
  assert.deepEqual(told.at(-1), []);
});

test('what turned out to be a worker’s is no leak any more, and begins anew', async (t) => {
  const { there, time, watch, leave } = watchOf(t);
  leave('pomona-f-w-1');
  await watch.look(LEAK_GRACE_MS);
  there.clear();
  time.now += LEAK_GRACE_MS;
  await watch.look(LEAK_GRACE_MS);
  leave('pomona-f-w-1');
  await watch.look(LEAK_GRACE_MS);
  assert.deepEqual([there.size, watch.leaks.length], [1, 1]);
});

test('what cannot be removed says why, and holds up nothing else', async (t) => {
  const { there, watch, leave } = watchOf(t);
  there.set('stuck', () => Promise.reject(new Error('dataset is busy')));
  leave('free');
  await watch.look(0);
  assert.deepEqual(
    watch.leaks.map(({ name, problem }) => [name, problem]),
    [['stuck', 'dataset is busy']],
  );
});
