import type { Clock } from './clock.ts';

/**
 * Makes something for a key, and gives the same again for `ms`, to all who ask meanwhile too: for what
 * costs much and may be a little old. What failed is not remembered.
 */
export function remembered<Key, Value>(
  clock: Pick<Clock, 'monotonic'>,
  ms: number,
  make: (key: Key) => Promise<Value>,
): (key: Key) => Promise<Value> {
  const known = new Map<Key, { readonly until: number; readonly value: Promise<Value> }>();
  return (key) => {
    const now = clock.monotonic();
    for (const [each, { until }] of known) if (until <= now) known.delete(each);
    const before = known.get(key);
    if (before !== undefined) return before.value;
    const value = make(key);
    known.set(key, { until: now + ms, value });
    value.catch(() => known.delete(key));
    return value;
  };
}
