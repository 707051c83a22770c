import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sandbox } from '../../drivers/sandbox/sandbox.ts';
import type { Store } from '../../drivers/store/store.ts';
import { removeTree } from '../../platform/tree.ts';
import type { BuildIndex } from './build-index.ts';
import type { ResultRow } from './index-rows.ts';
import { ownerIsAlive } from './owner.ts';
import { sandboxName, snapshotOf } from './snapshot-ids.ts';

interface Parts {
  readonly store: Store;
  readonly sandbox: () => Promise<Sandbox>;
  readonly index: BuildIndex;
  readonly owner: string;
  readonly stateDir: string;
  readonly boot: string;
}

/**
 * Removes what builders that are gone left half-made, and decides what they were changing: a result
 * that the store has is one, and what a power failure may have spoilt goes with all that was made
 * from it. Others may be at work meanwhile.
 */
export async function recover(parts: Parts): Promise<void> {
  const { index } = parts;
  for (const owner of index.owners()) {
    if (!(await ownerIsAlive(owner))) index.forgetOwner(owner);
  }
  await recoverResults(parts);
  await recoverClones(parts);
  await recoverTemporary(parts);
}

/** Only what was being changed: a start costs the same however many results there are. */
async function recoverResults({ store, index, owner, boot }: Parts): Promise<void> {
  for (const row of index.changing()) {
    if (row.owner !== null && (await ownerIsAlive(row.owner))) continue;
    if (row.state === 'deleting') {
      index.takeOverDelete(row.id, owner);
      await store.deleteSnapshot(snapshotOf(row));
      index.forgetResult(row.id);
    } else if (await store.hasSnapshot(snapshotOf(row))) index.adopt(row.id);
    else index.forgetResult(row.id);
  }
  const spoilt = index.unflushed().filter((row) => row.boot !== boot);
  for (const row of spoilt) await removeWithChildren({ store, index, owner }, row);
}

/** A result that cannot be trusted goes, and first all that was made from it. */
export async function removeWithChildren(
  parts: Pick<Parts, 'store' | 'index' | 'owner'>,
  row: ResultRow,
): Promise<boolean> {
  const { store, index, owner } = parts;
  for (const child of index.childrenOf(row.id)) {
    if (!(await removeWithChildren(parts, child))) return false;
  }
  if (!index.beginDelete(row.id, owner)) return index.result(row.id) === undefined;
  await store.deleteSnapshot(snapshotOf(row));
  index.forgetResult(row.id);
  return true;
}

/** Clones of flights whose owners are gone, and of none: whoever makes one has its flight first. */
async function recoverClones(parts: Parts): Promise<void> {
  const { store, index, stateDir } = parts;
  const clones = (await store.listClones()).filter((name) => name.startsWith('build-'));
  for (const clone of clones) {
    const id = idOf(clone.replace(/-cache-\d+$/, ''));
    await unlessInFlight(parts, id, () => store.deleteClone(clone));
  }
  for (const flight of index.flights()) {
    if (await ownerIsAlive(flight.owner)) continue;
    index.endFlight(flight);
    await rm(join(stateDir, 'logs', flight.log), { force: true });
  }
}

async function recoverTemporary(parts: Parts): Promise<void> {
  const { stateDir, sandbox } = parts;
  for (const name of await readdir(join(stateDir, 'tmp'))) {
    const dir = join(stateDir, 'tmp', name);
    await unlessInFlight(parts, idOf(name), async () => {
      await (
        await sandbox()
      ).destroy({
        name: sandboxName(idOf(name)),
        files: { kind: 'root', rootDir: dir },
        tmpDir: join(dir, 'tmp'),
        mounts: [],
        network: 'none',
        user: undefined,
        limits: {},
      });
      await removeTree(dir);
    });
  }
}

/** What a clone's name tells of the id of its flight. */
function idOf(cloneOrDir: string): string {
  return cloneOrDir.slice('build-'.length);
}

/** Does it while nobody makes that step, and keeps everyone from beginning to. */
async function unlessInFlight(
  { index, owner }: Parts,
  id: string,
  work: () => Promise<void>,
): Promise<void> {
  const flight = index.flight(id);
  if (flight !== undefined && (await ownerIsAlive(flight.owner))) return;
  const claim =
    flight === undefined
      ? index.beginFlight(id, owner, () => 'none')
      : index.takeOverFlight(flight, owner, () => 'none');
  if (claim?.owner !== owner) return;
  try {
    await work();
  } finally {
    index.endFlight(claim);
  }
}
