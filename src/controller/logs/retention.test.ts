import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decideRemovals, tidy, type Kept } from './retention.ts';

const thing = (id: string, at: number, bytes = 10): Kept<string> => ({ id, at, bytes });
const ids = (things: readonly Kept<string>[]) => things.map(({ id }) => id);

describe('retention', () => {
  it('lets go what is too old, oldest first', () => {
    const things = [thing('b', 20), thing('c', 31), thing('a', 10)];
    assert.deepEqual(ids(decideRemovals(things, { maxAgeMs: 69 }, 100)), ['a', 'b']);
    assert.deepEqual(ids(decideRemovals(things, {}, 100)), []);
  });

  it('lets go the oldest until the rest is small enough', () => {
    const things = [thing('b', 20, 50), thing('c', 30, 50), thing('a', 10, 1)];
    assert.deepEqual(ids(decideRemovals(things, { maxBytes: 100 }, 40)), ['a']);
    assert.deepEqual(ids(decideRemovals(things, { maxBytes: 99 }, 40)), ['a', 'b']);
    assert.deepEqual(ids(decideRemovals(things, { maxBytes: 0 }, 40)), ['a', 'b', 'c']);
  });

  it('keeps as much as it may, and never a thing older than one that goes', () => {
    const things = fc.array(fc.record({ id: fc.uuid(), at: fc.nat(100), bytes: fc.nat(50) }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(things, fc.nat(100), fc.nat(300), (all, maxAgeMs, maxBytes) => {
        const going = decideRemovals(all, { maxAgeMs, maxBytes }, 100);
        const staying = all.filter((each) => !going.includes(each));
        const sum = staying.reduce((bytes, each) => bytes + each.bytes, 0);
        assert(sum <= maxBytes);
        assert(staying.every(({ at }) => 100 - at <= maxAgeMs));
        const newest = going.at(-1);
        if (newest === undefined) return;
        assert(staying.every(({ at }) => at >= newest.at));
        assert(100 - newest.at > maxAgeMs || sum + newest.bytes > maxBytes);
      }),
    );
  });

  it('removes from a shelf what is not in use', async () => {
    const shelf = new Map([
      ['used', thing('used', 1)],
      ['old', thing('old', 2)],
      ['new', thing('new', 99)],
    ]);
    const removed = await tidy(
      {
        async *list() {
          yield* shelf.values();
        },
        remove: async (id: string) => void shelf.delete(id),
      },
      { maxAgeMs: 50 },
      100,
      async (id) => id !== 'used',
    );
    assert.deepEqual(removed, { things: 1, bytes: 10 });
    assert.deepEqual([...shelf.keys()], ['used', 'new']);
  });
});
