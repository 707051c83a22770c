import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refresh } from './refresh.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('one run at a time, and who asks during one gets another', async () => {
  const runs: PromiseWithResolvers<void>[] = [];
  const refresh = new Refresh(
    () => {
      const run = Promise.withResolvers<void>();
      runs.push(run);
      return run.promise;
    },
    () => undefined,
  );
  refresh.ask();
  for (let n = 0; n < 5; n += 1) refresh.ask();
  assert.equal(runs.length, 1);
  runs[0]?.resolve();
  await turn();
  assert.equal(runs.length, 2, 'what changed meanwhile is looked at once');
  runs[1]?.resolve();
  await turn();
  assert.equal(runs.length, 2);
  refresh.ask();
  assert.equal(runs.length, 3);
});

test('a run that fails is told, and the next one comes', async () => {
  const failures: unknown[] = [];
  let runs = 0;
  const refresh = new Refresh(
    async () => {
      runs += 1;
      if (runs === 1) throw new Error('no such directory');
    },
    (error) => void failures.push(error),
  );
  refresh.ask();
  await turn();
  refresh.ask();
  await turn();
  assert.deepEqual([runs, failures.length], [2, 1]);
});
