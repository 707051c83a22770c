import { limiter } from '../platform/limiter.ts';

/**
 * Calls `work` with parts of a list, `atOnce` at a time. When one fails no more begin, and its
 * error is thrown once all that had begun are over.
 */
export async function inParts<T>(
  list: readonly T[],
  partLength: number,
  atOnce: number,
  work: (part: readonly T[]) => Promise<void>,
): Promise<void> {
  const limit = limiter(atOnce);
  let failed = false;
  const parts: Promise<void>[] = [];
  for (let at = 0; at < list.length; at += partLength) {
    parts.push(
      limit(async () => {
        if (failed) return;
        try {
          await work(list.slice(at, at + partLength));
        } catch (error) {
          failed = true;
          throw error;
        }
      }),
    );
  }
  for (const result of await Promise.allSettled(parts)) {
    if (result.status === 'rejected') throw result.reason;
  }
}
