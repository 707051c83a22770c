import { randomBytes } from 'node:crypto';
import { DEAD_AFTER_MS, oldestPush } from './leases.ts';
import {
  isMissingBlob,
  manifestKey,
  packKey,
  placementKey,
  type RemoteTag,
  type Repository,
} from './repository.ts';

export interface Collected {
  /** Packs that nothing refers to; the next gc removes them. */
  readonly markedPacks: number;
  readonly removedPacks: number;
  readonly removedBytes: number;
}

/**
 * Removes from a remote what no tag needs, while pushes go on. In two steps, so that no push loses
 * a pack it counts on:
 *
 * 1. A pack that no tag's image refers to is marked.
 * 2. A later gc removes a marked pack that is still referred to by none, if every push alive began
 *    after it was marked. Such a push saw the mark and does not use the pack; pushes are read
 *    before tags, so that one that ended in between shows by its tag.
 *
 * All times are those of the blob store. Safe to run anywhere, any number at once, and to kill.
 */
export async function collectGarbage(
  repository: Repository,
  options: { readonly signal?: AbortSignal; readonly deadAfterMs?: number } = {},
): Promise<Collected> {
  const { signal, deadAfterMs = DEAD_AFTER_MS } = options;
  const { blobs } = repository;
  const nowMs = await storeTime(repository, signal);
  const marks = new Map<string, number>();
  for await (const { key, modifiedMs } of blobs.list('marks/', signal)) {
    marks.set(nameOf(key), modifiedMs);
  }
  const oldest = await oldestPush(blobs, nowMs, deadAfterMs, signal);
  const live = await liveObjects(repository, signal);

  for await (const { key, modifiedMs } of blobs.list('images/', signal)) {
    // A newer one may be of a push that is about to write its tag, now or with gc looking away.
    const isNew = modifiedMs >= Math.min(oldest, nowMs - deadAfterMs);
    if (!live.has(key) && !isNew) await blobs.delete(key, signal);
  }
  let [markedPacks, removedPacks, removedBytes] = [0, 0, 0];
  for await (const { key, bytes, modifiedMs } of blobs.list('packs/', signal)) {
    const pack = nameOf(key);
    const markedMs = marks.get(pack);
    if (live.has(key)) {
      if (markedMs !== undefined) await blobs.delete(markKey(pack), signal);
    } else if (markedMs !== undefined) {
      if (markedMs >= oldest) continue;
      await blobs.delete(key, signal);
      await blobs.delete(markKey(pack), signal);
      removedPacks += 1;
      removedBytes += bytes;
    } else if (modifiedMs < Math.min(oldest, nowMs)) {
      await blobs.put(markKey(pack), Buffer.from('{}'), signal);
      markedPacks += 1;
    }
  }
  return { markedPacks, removedPacks, removedBytes };
}

/** Packs that gc may remove at any time: a push that begins now must not count on them. */
export async function packsMarked(
  repository: Repository,
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const marked = new Set<string>();
  for await (const { key } of repository.blobs.list('marks/', signal)) marked.add(nameOf(key));
  return marked;
}

/** Keys of the packs and descriptions that tags refer to. */
async function liveObjects(
  repository: Repository,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const live = new Set<string>();
  for (const tag of await repository.tags(signal)) {
    live.add(manifestKey(tag.image)).add(placementKey(tag.image));
    for (const pack of await packsOf(repository, tag, signal)) live.add(packKey(pack));
  }
  return live;
}

async function packsOf(
  repository: Repository,
  tag: RemoteTag,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  try {
    return (await repository.placement(tag, signal)).packs;
  } catch (error) {
    if (!isMissingBlob(error)) throw error;
    // The tag was replaced and another gc was faster; the tag that is there now counts.
    const now = (await repository.tags(signal)).find(
      ({ name, tag: text }) => name === tag.name && text === tag.tag,
    );
    return now === undefined || now.image === tag.image ? [] : packsOf(repository, now, signal);
  }
}

/** What time it is by the clock of the blob store. */
async function storeTime(repository: Repository, signal: AbortSignal | undefined): Promise<number> {
  const key = `clock/${randomBytes(8).toString('hex')}`;
  await repository.blobs.put(key, Buffer.from('.'), signal);
  try {
    for await (const { modifiedMs } of repository.blobs.list(key, signal)) return modifiedMs;
    return Date.now();
  } finally {
    await repository.blobs.delete(key, signal);
  }
}

function nameOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1).replace(/\.[a-z]+$/, '');
}

function markKey(pack: string): string {
  return `marks/${pack}.json`;
}
