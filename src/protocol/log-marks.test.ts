import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { logMark, MarkFilter } from './log-marks.ts';

const MARK = logMark({ type: 'done', build: [], index: 1, of: 2, id: 'abc', how: 'made', ms: 5 });

function filtered(log: string, cuts: readonly number[]): string {
  const filter = new MarkFilter();
  const bytes = Buffer.from(log, 'latin1');
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
  const ordered = places.toSorted((a, b) => a - b);
  const parts = ordered
    .slice(1)
    .map((to, index) => filter.push(bytes.subarray(ordered[index], to)));
  return Buffer.concat([...parts, filter.end()]).toString('latin1');
}

test('marks are taken out wherever the log is cut, and nothing else is', () => {
  const piece = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', '\n', '\x1b', '_', '[', '3', 'm', '\\', 'p') }),
    fc.constant(MARK),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.array(fc.nat()), (pieces, cuts) => {
      // Two pieces side by side could make the beginning of a mark.
      const log = pieces.join('\n');
      const wanted = pieces.map((each) => (each === MARK ? '' : each)).join('\n');
      assert.equal(filtered(log, cuts), wanted);
    }),
  );
});

test('a log that ends within a mark loses nothing of what it printed', () => {
  assert.equal(filtered('before\x1b_pom', [3]), 'before\x1b_pom');
});
