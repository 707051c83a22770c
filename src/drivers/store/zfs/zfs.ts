import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { removeTree } from '../../../platform/tree.ts';
import { tryStore } from '../probe.ts';
import type { StoreDriver } from '../store.ts';
import { ZFS_FORM, zfsPlace, type ZfsPlace } from './names.ts';
import { zfs } from './zfs-command.ts';
import { ZfsStore } from './zfs-store.ts';

/** Datasets and their snapshots, in the layout of OBuilder. */
export const zfsDriver: StoreDriver = {
  name: 'zfs',
  form: ZFS_FORM,
  dirOf: (root) => zfsPlace(root).dir,
  rank: 25,
  async probe(root) {
    const report = { name: zfsDriver.name, rank: zfsDriver.rank };
    let place: ZfsPlace;
    try {
      place = zfsPlace(root);
    } catch {
      const detail = 'works in a pool that it is told: --store zfs:POOL, or zfs:POOL/DATASET';
      return { ...report, available: false, detail };
    }
    const name = `probe-${randomBytes(6).toString('hex')}`;
    const dataset = `${place.dataset}/${name}`;
    const dir = join(place.dir, name);
    try {
      await tryStore(new ZfsStore({ dataset, dir }));
      return { ...report, available: true, detail: 'clones are ZFS clones, made in constant time' };
    } catch (error) {
      const why = (error as Error).message.split('\n')[0] ?? '';
      const detail = `needs ZFS, root, and a pool of that name (${why})`;
      return { ...report, available: false, detail };
    } finally {
      await zfs('destroy', '-r', dataset).catch(() => undefined);
      await removeTree(dir);
    }
  },
  open: (root) => new ZfsStore(zfsPlace(root)),
};
