import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { percentilesOf } from './percentiles.ts';

test('percentiles of nothing are zeroes', () => {
  assert.deepEqual(percentilesOf([]), { p50: 0, p95: 0, p99: 0, longest: 0 });
});

test('percentiles are values that were there, and never fall', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1 }), (values) => {
      const { p50, p95, p99, longest } = percentilesOf(values);
      assert.ok(p50 <= p95 && p95 <= p99 && p99 <= longest);
      for (const value of [p50, p95, p99, longest]) assert.ok(values.includes(value));
      assert.equal(longest, Math.max(...values));
    }),
  );
});
