import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from '../drivers/store/store.ts';
import type { BuildIndex } from './state/build-index.ts';
import type { ResultRow } from './state/index-rows.ts';
import { snapshotOf } from './state/snapshot-ids.ts';

/** Looked at in one round. */
const ROUND = 100;

export interface PruneRules {
  /** Only what was last used before this time. */
  readonly usedBefore: number;
  /** Stop when so many bytes are free; absent: remove all that may go. */
  readonly untilFreeBytes?: number;
  /** Remove at most so many. */
  readonly most?: number;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  onRemoved?(row: ResultRow): void;
}

interface PruneParts {
  readonly store: Store;
  readonly index: BuildIndex;
  readonly owner: string;
  readonly logsDir: string;
}

export interface Pruned {
  readonly removed: number;
  /** Results that could not be removed, with the reason; they are there still. */
  readonly failed: readonly { readonly id: string; readonly reason: string }[];
}

/**
 * Removes results, least lately used first, those made from others before these. What a build needs
 * or a pin names stays, with all that it was made from. An interrupted one is gone on with.
 */
export async function prune(
  { store, index, owner, logsDir }: PruneParts,
  rules: PruneRules,
): Promise<Pruned> {
  const failed: { id: string; reason: string }[] = [];
  let removed = 0;
  const most = rules.most ?? Number.POSITIVE_INFINITY;
  if (rules.dryRun) {
    for (const row of wouldGo(index, rules.usedBefore).slice(0, most)) {
      rules.onRemoved?.(row);
      removed += 1;
    }
    return { removed, failed };
  }
  for (;;) {
    const round = index
      .removable(rules.usedBefore, ROUND + failed.length)
      .filter(({ id }) => !failed.some((each) => each.id === id));
    if (round.length === 0) return { removed, failed };
    for (const row of round) {
      rules.signal.throwIfAborted();
      if (removed >= most || (await enoughFree(store, rules))) return { removed, failed };
      if (!index.beginDelete(row.id, owner)) continue;
      try {
        await store.deleteSnapshot(snapshotOf(row));
        index.forgetResult(row.id);
        if (row.log !== null) await rm(join(logsDir, row.log), { force: true });
        removed += 1;
        rules.onRemoved?.(row);
      } catch (error) {
        index.undoDelete(row.id);
        failed.push({ id: row.id, reason: (error as Error).message });
      }
    }
  }
}

async function enoughFree(store: Store, { untilFreeBytes }: PruneRules): Promise<boolean> {
  if (untilFreeBytes === undefined) return false;
  return (await store.diskSpace()).freeBytes >= untilFreeBytes;
}

/** What would go in turn if nothing kept room for more. */
function wouldGo(index: BuildIndex, usedBefore: number): ResultRow[] {
  const rows = index.results();
  const kept = new Set(index.keptIds());
  for (let grew = true; grew;) {
    grew = false;
    for (const { id, parent, used_at: usedAt } of rows) {
      if (!kept.has(id) && usedAt < usedBefore) continue;
      if (parent === null || kept.has(parent)) continue;
      kept.add(parent);
      grew = true;
    }
  }
  return rows.filter(
    ({ id, state, used_at: usedAt }) => state === 'ready' && usedAt < usedBefore && !kept.has(id),
  );
}
