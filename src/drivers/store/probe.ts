import { mkdtemp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DriverReport } from '../../domain/host.ts';
import { removeTree } from '../../platform/tree.ts';
import type { Store, StoreDriver } from './store.ts';

/** Tries a store for real in a directory of its own below `root`: a snapshot and a clone of it. */
export async function probeStore(
  driver: StoreDriver,
  root: string,
  worksBy: string,
  remedy: string,
): Promise<DriverReport> {
  const report = { name: driver.name, rank: driver.rank };
  await mkdir(root, { recursive: true, mode: 0o711 });
  const dir = await mkdtemp(join(root, 'probe-'));
  const store = driver.open(dir);
  try {
    await tryStore(store);
    return { ...report, available: true, detail: worksBy };
  } catch (error) {
    const why = (error as Error).message.split('\n')[0] ?? '';
    return { ...report, available: false, detail: remedy === '' ? why : `${remedy} (${why})` };
  } finally {
    await removeTree(dir);
  }
}

/** Makes a snapshot and a clone of it, and removes them. Throws why it cannot. */
export async function tryStore(store: Store): Promise<void> {
  try {
    await store.recover();
    await store.createSnapshot('probe', (into) => writeFile(join(into, 'file'), 'content'));
    await store.clone('probe', 'probe');
  } finally {
    await store.deleteClone('probe').catch(() => undefined);
    await store.deleteSnapshot('probe').catch(() => undefined);
  }
}
