import { btrfsDriver } from './btrfs.ts';
import { copyDriver } from './copy.ts';
import { overlayfsDriver } from './overlayfs.ts';
import { reflinkDriver } from './reflink.ts';
import { rsyncDriver } from './rsync/rsync.ts';
import { zfsDriver } from './zfs/zfs.ts';
import type { StoreDriver } from './store.ts';

/** Every store there is. */
export const STORE_DRIVERS: Readonly<Record<string, StoreDriver>> = {
  btrfs: btrfsDriver,
  copy: copyDriver,
  overlayfs: overlayfsDriver,
  reflink: reflinkDriver,
  rsync: rsyncDriver,
  zfs: zfsDriver,
};
