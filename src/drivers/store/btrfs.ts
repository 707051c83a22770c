import { execFile } from 'node:child_process';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isMissing } from '../../platform/atomic-file.ts';
import { removeTree } from '../../platform/tree.ts';
import { DirectoryStore, directoryCapabilities } from './directory-store.ts';
import { directoryPlace } from './directory-place.ts';
import { probeStore } from './probe.ts';
import type { StoreDriver } from './store.ts';

const run = promisify(execFile);

/** The inode number of every subvolume's top directory (Btrfs' first free object id). */
const SUBVOLUME_INODE = 256;

/** Large trees take their time. */
const CLEANED_MS = 60_000;
const BETWEEN_LOOKS_MS = 50;

/** Subvolumes and their snapshots, made in constant time. */
export const btrfsDriver: StoreDriver = {
  name: 'btrfs',
  ...directoryPlace('btrfs'),
  rank: 30,
  probe: (root) =>
    probeStore(
      btrfsDriver,
      root,
      'clones are Btrfs snapshots, made in constant time',
      'needs btrfs-progs, root, and the data directory on Btrfs',
    ),
  open: (root) =>
    new DirectoryStore('btrfs', directoryCapabilities('snapshot'), root, {
      make: (dir) => btrfs('subvolume', 'create', dir),
      copy: async (from, to) => {
        await btrfs('subvolume', 'snapshot', from, to);
      },
      freeze: (dir, frozen) => btrfs('property', 'set', '-ts', dir, 'ro', String(frozen)),
      remove: removeSubvolume,
      settle: untilCleaned,
    }),
};

async function btrfs(...args: string[]): Promise<void> {
  await run('btrfs', args);
}

/** Btrfs frees what was removed after it wrote next, which may be half a minute later. */
async function untilCleaned(dir: string): Promise<void> {
  await btrfs('filesystem', 'sync', dir);
  const deadline = performance.now() + CLEANED_MS;
  while (performance.now() < deadline) {
    const { stdout } = await run('btrfs', ['subvolume', 'list', '-d', dir]);
    if (stdout === '') return;
    await delay(BETWEEN_LOOKS_MS);
  }
}

/** Removes a subvolume with those that a job made inside it. Idempotent. */
async function removeSubvolume(dir: string): Promise<void> {
  let inode: number;
  try {
    inode = (await lstat(dir)).ino;
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (inode !== SUBVOLUME_INODE) return removeTree(dir);
  try {
    await btrfs('subvolume', 'delete', dir);
  } catch {
    // It holds subvolumes of its own, which go first.
    await removeNested(dir);
    await btrfs('subvolume', 'delete', dir);
  }
}

async function removeNested(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(dir, entry.name);
    if ((await lstat(path)).ino === SUBVOLUME_INODE) await removeSubvolume(path);
    else await removeNested(path);
  }
}
