/** Something on disk that may have to go. */
export interface Kept<Id> {
  readonly id: Id;
  readonly bytes: number;
  /** Wall-clock milliseconds of its last change. */
  readonly at: number;
}

export interface KeepLimits {
  /** What is older goes. */
  readonly maxAgeMs?: number;
  /** While all together is larger, the oldest goes. */
  readonly maxBytes?: number;
}

/** What has to go, oldest first. What is not in `things` neither goes nor counts. */
export function decideRemovals<Id>(
  things: readonly Kept<Id>[],
  limits: KeepLimits,
  now: number,
): Kept<Id>[] {
  const oldestFirst = things.toSorted((a, b) => a.at - b.at);
  let bytes = things.reduce((sum, thing) => sum + thing.bytes, 0);
  const { maxAgeMs = Infinity, maxBytes = Infinity } = limits;
  const going: Kept<Id>[] = [];
  for (const thing of oldestFirst) {
    if (now - thing.at <= maxAgeMs && bytes <= maxBytes) break;
    going.push(thing);
    bytes -= thing.bytes;
  }
  return going;
}

/** Where kept things lie: the log store, the artifact store, the source store. */
export interface Shelf<Id> {
  list(): AsyncIterable<Kept<Id>>;
  remove(id: Id): Promise<void>;
}

/**
 * Removes what `decideRemovals` says from a shelf and returns what went. `mayGo` keeps what is in
 * use; it is asked for everything on the shelf. May be stopped anywhere and run again.
 */
export async function tidy<Id>(
  shelf: Shelf<Id>,
  limits: KeepLimits,
  now: number,
  mayGo: (id: Id) => Promise<boolean>,
): Promise<{ things: number; bytes: number }> {
  const candidates: Kept<Id>[] = [];
  for await (const thing of shelf.list()) {
    if (await mayGo(thing.id)) candidates.push(thing);
  }
  const going = decideRemovals(candidates, limits, now);
  for (const thing of going) await shelf.remove(thing.id);
  return { things: going.length, bytes: going.reduce((sum, thing) => sum + thing.bytes, 0) };
}
