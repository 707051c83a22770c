import { mkdir } from 'node:fs/promises';
import { copyTree, removeTree } from '../../platform/tree.ts';
import { DirectoryStore, directoryCapabilities } from './directory-store.ts';
import { directoryPlace } from './directory-place.ts';
import { probeStore } from './probe.ts';
import type { StoreDriver } from './store.ts';

/** Files that share their blocks until one is changed: APFS clonefile, FICLONE on XFS and Btrfs. */
export const reflinkDriver: StoreDriver = {
  name: 'reflink',
  ...directoryPlace('reflink'),
  rank: 20,
  probe: (root) =>
    probeStore(
      reflinkDriver,
      root,
      'clones share blocks with the image',
      'put the data directory on APFS, XFS or Btrfs to have clones that share blocks',
    ),
  open: (root) =>
    new DirectoryStore('reflink', directoryCapabilities('reflink'), root, {
      make: async (dir) => void (await mkdir(dir, { mode: 0o711 })),
      copy: async (from, to, signal) => {
        await mkdir(to, { mode: 0o700 });
        await copyTree(from, to, { reflink: true, signal });
      },
      freeze: async () => undefined,
      remove: removeTree,
    }),
};
