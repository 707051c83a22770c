import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remembered } from './remembered.ts';

test('what was made is given again for its time, to each key its own', async () => {
  let now = 0;
  let made = 0;
  const get = remembered(
    { monotonic: () => now },
    100,
    async (key: string) => `${key}${(made += 1)}`,
  );
  assert.deepEqual(await Promise.all([get('a'), get('a'), get('b')]), ['a1', 'a1', 'b2']);
  now = 100;
  assert.equal(await get('a'), 'a3');
});

test('what failed is made again', async () => {
  let fails = true;
  const get = remembered({ monotonic: () => 0 }, 100, async () => {
    if (fails) throw new Error('not now');
    return 'made';
  });
  await assert.rejects(get(1));
  fails = false;
  assert.equal(await get(1), 'made');
});
