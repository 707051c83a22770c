import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError, type Store } from '../../drivers/store/store.ts';
import type { BuildIndex } from './build-index.ts';
import { ownerIsAlive } from './owner.ts';
import { snapshotOf } from './snapshot-ids.ts';

/** Failures whose logs are kept. */
const FAILURES_KEPT = 50;

interface Parts {
  readonly store: Store;
  readonly index: BuildIndex;
  readonly stateDir: string;
  readonly owner: string;
}

export interface Problem {
  readonly what: string;
  readonly remedy: string;
}

/** What index, store and logs do not agree on, at a moment when no step is being made. */
export async function verify({ store, index, stateDir }: Parts): Promise<Problem[]> {
  const problems: Problem[] = [];
  const rows = index.results().filter(({ state }) => state === 'ready');
  const snapshots = new Set(await store.listSnapshots());
  const logs = new Set(await readdir(join(stateDir, 'logs')));
  const ids = new Set(rows.map(({ id }) => id));
  for (const row of rows) {
    if (!snapshots.has(snapshotOf(row)) && index.result(row.id)?.state === 'ready') {
      problems.push({
        what: `the store lost result ${row.id}`,
        remedy: 'the next build forgets it and makes it anew',
      });
    }
    if (row.log !== null && !logs.has(row.log)) {
      problems.push({
        what: `the log of result ${row.id} is gone`,
        remedy: 'the result is good; a build with --no-cache makes a new log',
      });
    }
    if (row.parent !== null && !ids.has(row.parent) && store.capabilities.childrenFirst) {
      problems.push({
        what: `result ${row.id} was made from ${row.parent}, which the index does not know`,
        remedy: 'remove it by `pomona store prune`',
      });
    }
  }
  for (const snapshot of await orphans({ store, index })) {
    problems.push({
      what: `nothing knows snapshot ${snapshot}`,
      remedy: '`pomona store gc` removes it',
    });
  }
  return problems;
}

/** Snapshots that are neither a result nor a cache, and that nobody is making. */
async function orphans({ store, index }: Pick<Parts, 'store' | 'index'>): Promise<string[]> {
  // Listed first: what is made later has its row first.
  const snapshots = await store.listSnapshots();
  const known = new Set(index.results().map(snapshotOf));
  return snapshots.filter((id) => {
    if (id.startsWith('cache.')) return false;
    return /^(result|base-image)\./.test(id) && !known.has(id);
  });
}

/** Removes what no build left on purpose; returns what it was. */
export async function collectGarbage(parts: Parts): Promise<string[]> {
  const { store, index, stateDir } = parts;
  const removed: string[] = [];
  for (const owner of index.owners()) {
    if (!(await ownerIsAlive(owner))) index.forgetOwner(owner);
  }
  const tryDelete = async (id: string): Promise<boolean> => {
    try {
      await store.deleteSnapshot(id);
      removed.push(`snapshot ${id}`);
      return true;
    } catch (error) {
      if (error instanceof StoreError && error.code === 'in_use') return false;
      throw error;
    }
  };
  // Those that others rest on go in a later round.
  for (let left = await orphans(parts), before = Number.POSITIVE_INFINITY; left.length < before;) {
    before = left.length;
    for (const id of left) await tryDelete(id);
    left = await orphans(parts);
    if (left.length === 0) break;
  }
  // A step being made may just have left a version that is nobody's yet.
  const settled = index.flights().length === 0;
  for (const id of settled ? await store.listSnapshots() : []) {
    if (id.startsWith('cache.') && !index.cacheVersionNeeded(id)) await tryDelete(id);
  }
  // Listed first: what is made later has its row first.
  const logs = await readdir(join(stateDir, 'logs'));
  const needed = new Set([
    ...index.flights().map(({ log }) => log),
    ...index.results().flatMap(({ log }) => (log === null ? [] : [log])),
    ...index.failures().map(({ log }) => log),
  ]);
  for (const name of logs) {
    if (needed.has(name)) continue;
    await rm(join(stateDir, 'logs', name), { force: true });
    removed.push(`log ${name}`);
  }
  for (const failure of index.forgetFailures(FAILURES_KEPT)) {
    await rm(join(stateDir, 'logs', failure.log), { force: true });
    removed.push(`log ${failure.log}`);
  }
  return removed;
}
