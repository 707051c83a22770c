import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collectPages } from './pages.ts';

/** A list of numbers, as the API gives it; remembers what was asked. */
function list(length: number) {
  const asked: { limit: number; after: string | undefined }[] = [];
  const fetchPage = async (query: { limit: number; after: string | undefined }) => {
    asked.push(query);
    const from = Number(query.after ?? 0);
    const to = Math.min(length, from + query.limit);
    const items = Array.from({ length: to - from }, (_, index) => from + index);
    return to < length ? { items, next: String(to) } : { items };
  };
  return { asked, fetchPage };
}

test('a long list is fetched page by page, to its end', async () => {
  const { asked, fetchPage } = list(2_500);
  const { items, more } = await collectPages(Infinity, fetchPage);
  assert.equal(items.length, 2_500);
  assert.equal(items.at(-1), 2_499);
  assert.equal(more, false);
  assert.deepEqual(
    asked.map(({ after }) => after),
    [undefined, '1000', '2000'],
  );
});

test('no more is fetched than is wanted, and it is said when there is more', async () => {
  const { asked, fetchPage } = list(2_500);
  assert.deepEqual(await collectPages(50, fetchPage), {
    items: Array.from({ length: 50 }, (_, index) => index),
    more: true,
  });
  assert.deepEqual(asked, [{ limit: 50, after: undefined }]);
  assert.equal((await collectPages(1_200, list(1_200).fetchPage)).more, false);
});
