import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { STORE_DRIVERS } from '../src/drivers/store/drivers.ts';
import type { StoreDriver } from '../src/drivers/store/store.ts';
import { loopFileSystem } from './loop-file-system.ts';
import { zfsPool } from './zfs-pool.ts';

/** A store for tests, on a file system of its own. */
export interface StorePlace {
  readonly driver: StoreDriver;
  /** What the driver opens. */
  readonly root: string;
  /** The file system is the store's alone, so that filling it hurts nobody. */
  readonly ownDisk: boolean;
  /** Times of files are kept to so many milliseconds. */
  readonly timesToMs: number;
  /** How long a chain of snapshots is tried. */
  readonly chain: number;
  /** Removes it with its file system. */
  remove(): void;
}

const CHAIN = 100;

const ALL_CASES = [
  { store: 'copy', on: 'the temporary directory' },
  { store: 'rsync', on: 'ext4' },
  { store: 'rsync', on: 'ext4', mode: 'hardlink' },
  { store: 'overlayfs', on: 'ext4' },
  { store: 'reflink', on: 'xfs' },
  { store: 'reflink', on: 'btrfs' },
  { store: 'btrfs', on: 'btrfs' },
  { store: 'zfs', on: 'zfs' },
] as const;

export type StoreCase = (typeof ALL_CASES)[number];

/** Whether a store is to be tested; `POMONA_TEST_STORE` names one for which alone tests run. */
export function isTested(store: string): boolean {
  return (process.env['POMONA_TEST_STORE'] ?? store) === store;
}

/** Every store, on each file system that it is for. */
export const STORE_CASES: readonly StoreCase[] = ALL_CASES.filter(({ store }) => isTested(store));

export function titleOf(each: StoreCase): string {
  const mode = 'mode' in each ? ` (${each.mode})` : '';
  return `${each.store}${mode} on ${each.on}`;
}

/** Makes the place. Returns the reason, as text, where this machine cannot. */
export function storePlace(each: StoreCase, megabytes: number): StorePlace | string {
  const driver = STORE_DRIVERS[each.store];
  if (driver === undefined) return `there is no store ${each.store}`;
  if (each.on === 'the temporary directory') {
    const root = mkdtempSync(join(tmpdir(), 'pomona-store-'));
    // Workers' users pass through.
    chmodSync(root, 0o711);
    const remove = () => rmSync(root, { recursive: true });
    return { driver, root, ownDisk: false, timesToMs: 1, chain: CHAIN, remove };
  }
  if (each.on === 'zfs') {
    const pool = zfsPool(megabytes);
    if (typeof pool === 'string') return pool;
    // zfs-fuse keeps whole seconds, and takes a tenth of one for each snapshot.
    const limits = { timesToMs: 1000, chain: 20 };
    return { driver, root: pool.root, ownDisk: true, ...limits, remove: () => pool.remove() };
  }
  const disk = loopFileSystem(each.on, megabytes);
  if (typeof disk === 'string') return disk;
  const query = 'mode' in each ? `?mode=${each.mode}` : '';
  const root = join(disk.dir, 'store') + query;
  return { driver, root, ownDisk: true, timesToMs: 1, chain: CHAIN, remove: () => disk.remove() };
}

/** What the driver opens for one of several stores in a place. */
export function storeRootIn({ root }: StorePlace, name: string): string {
  const [path = '', query] = root.split('?');
  const dir = query?.startsWith('dir=') === true ? `${query}/${name}` : query;
  return `${path}/${name}${dir === undefined ? '' : `?${dir}`}`;
}
