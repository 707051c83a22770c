import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { logMark, MarkBreaker, MarkFilter } from './log-marks.ts';

const MARK = logMark({ type: 'done', build: [], index: 1, of: 2, id: 'abc', how: 'made', ms: 5 });

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (bytes.length + 1)), bytes.length];
  const ordered = places.toSorted((a, b) => a - b);
  return ordered.slice(1).map((to, index) => bytes.subarray(ordered[index], to));
}

function filtered(log: string, cuts: readonly number[]): string {
  const filter = new MarkFilter();
  const parts = cut(Buffer.from(log, 'latin1'), cuts).map((piece) => filter.push(piece));
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

test('what begins like a mark and never ends is text, and is not kept for ever', () => {
  const filter = new MarkFilter();
  const begun = `\x1b_pomona;${'x'.repeat(1_000)}`;
  let told = filter.push(Buffer.from(begun)).length;
  for (let n = 0; n < 100; n += 1) told += filter.push(Buffer.alloc(1_000, 'y')).length;
  assert.ok(told > 0);
  assert.equal(told + filter.end().length, begun.length + 100_000);
});

test('what a step prints is never taken for a mark, wherever it is cut', () => {
  const piece = fc.oneof(
    fc.string({ unit: fc.constantFrom('\x1b', '_', 'p', '\\', '\n', 'é') }),
    fc.constantFrom(MARK, '\x1b_pomona;', '\x1b_pom', 'ona;'),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.array(fc.nat()), (pieces, cuts) => {
      const breaker = new MarkBreaker();
      const printed = Buffer.concat([
        ...cut(Buffer.from(pieces.join('')), cuts).map((each) => breaker.push(each)),
        breaker.end(),
      ]).toString();
      assert.ok(!printed.includes('\x1b_pomona;'));
      assert.equal(printed, pieces.join('').replaceAll('\x1b_pomona;', '\u241b_pomona;'));
    }),
  );
});
