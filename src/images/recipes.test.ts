import assert from 'node:assert/strict';
import { test } from 'node:test';
import { datedTag, dueAt, outdated, type Recipe } from './recipes.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;

function recipe(changes: Partial<Recipe>): Recipe {
  return {
    ...{ name: 'a', tag: 'latest', spec: '/a.spec', context: '/', secrets: [], keep: 3 },
    everyMs: DAY,
    ...changes,
  };
}

test('a recipe is due at once when it was never followed, then each time after its interval', () => {
  assert.equal(dueAt(recipe({})), 0);
  assert.equal(dueAt(recipe({ builtAt: 5 * DAY })), 6 * DAY);
});

test('what failed is tried again after an hour, or sooner where it is made more often', () => {
  assert.equal(dueAt(recipe({ failedAt: DAY })), DAY + HOUR);
  assert.equal(dueAt(recipe({ builtAt: 0, failedAt: DAY + HOUR })), DAY + 2 * HOUR);
  assert.equal(dueAt(recipe({ everyMs: 60_000, failedAt: DAY })), DAY + 60_000);
});

test('the newest dated tags stay, and tags that people gave stay always', () => {
  const tags = ['latest', '2026-01-02-000000', 'stable', '2026-01-10-000000', '2026-01-01-235959'];
  assert.deepEqual(outdated(tags, 2), ['2026-01-01-235959']);
  assert.deepEqual(outdated(tags, 0).length, 3);
  assert.deepEqual(outdated(tags, 9), []);
  assert.equal(datedTag(Date.UTC(2026, 10, 21, 9, 5, 7)), '2026-11-21-090507');
});
