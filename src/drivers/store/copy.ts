import { mkdir } from 'node:fs/promises';
import { copyTree, removeTree } from '../../platform/tree.ts';
import { DirectoryStore, directoryCapabilities } from './directory-store.ts';
import { directoryPlace } from './directory-place.ts';
import { probeStore } from './probe.ts';
import type { StoreDriver } from './store.ts';

/** Copies every byte. Works on any file system. */
export const copyDriver: StoreDriver = {
  name: 'copy',
  ...directoryPlace('copy'),
  rank: 10,
  probe: (root) =>
    probeStore(copyDriver, root, 'copies every byte of the image for each worker', ''),
  open: (root) =>
    new DirectoryStore('copy', directoryCapabilities('copy'), root, {
      make: async (dir) => void (await mkdir(dir, { mode: 0o711 })),
      copy: async (from, to, signal) => {
        await mkdir(to, { mode: 0o700 });
        await copyTree(from, to, { reflink: false, signal });
      },
      freeze: async () => undefined,
      remove: removeTree,
    }),
};
