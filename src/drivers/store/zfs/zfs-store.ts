import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rmdir, writeFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../../platform/atomic-file.ts';
import { isAlive, processIdentity } from '../../../platform/process-table.ts';
import { tool } from '../../../platform/tool.ts';
import { StoreError, type Store, type StoreCapabilities } from '../store.ts';
import { destroyDataset, isOurs, MADE, numbersOf, partsOf } from './datasets.ts';
import { mount, mountSnapshot, unmount } from './mounts.ts';
import {
  CLONES,
  SNAPSHOT,
  SNAPSHOT_FOLDERS,
  TEMPORARY,
  datasetOf,
  idOf,
  type ZfsPlace,
} from './names.ts';
import { ignoring, isProblem, zfs, ZfsError, zfsLines } from './zfs-command.ts';

/** Which process something temporary belongs to. */
const OWNER = 'org.pomona:owner';

/**
 * | dataset                     | what                                                          |
 * |-----------------------------|---------------------------------------------------------------|
 * | `base-image/NAME@snap`      | snapshot `base-image.NAME`                                    |
 * | `result/ID@snap`            | snapshot `result.ID`                                          |
 * | `cache/NAME.N@snap`         | snapshot `cache.NAME.N`                                       |
 * | `other/ID@snap`             | snapshot `ID`                                                 |
 * | `clone/NAME`                | a clone, mounted at `clones/NAME` of the store's directory    |
 * | `tmp/X`                     | what the process in its property `org.pomona:owner` works on  |
 *
 * Each may have datasets below it (`/home`, `/prefix`), which are cloned and committed with it. One
 * of a snapshot's folders that has no `@snap` is what a crash left of a deletion.
 */
export class ZfsStore implements Store {
  readonly name = 'zfs';
  readonly #dataset: string;
  readonly #dir: string;
  #liveSnapshots = false;

  constructor({ dataset, dir }: ZfsPlace) {
    this.#dataset = dataset;
    this.#dir = dir;
  }

  /** `liveSnapshots` is known after `recover`. */
  get capabilities(): StoreCapabilities {
    return { cloning: 'snapshot', childrenFirst: true, liveSnapshots: this.#liveSnapshots };
  }

  async recover(): Promise<void> {
    await this.#assertPool();
    for (const [part, mode] of [
      ['', 0o711],
      ['clones', 0o711],
      ['views', 0o711],
      ['new', 0o700],
      ['deleting', 0o700],
    ] as const) {
      await mkdir(join(this.#dir, part), { recursive: true, mode });
    }
    await this.#makeFolders();
    const temporary = this.#at(TEMPORARY);
    for (const [dataset = '', owner = ''] of await zfsLines(
      ...['list', '-H', '-r', '-d', '1', '-o', `name,${OWNER}`, temporary],
    )) {
      // What has no owner is being removed already.
      if (dataset === temporary || (await isAlive(decodeURIComponent(owner)))) continue;
      await destroyDataset(dataset);
    }
    await this.#clearDirectories();
    for (const id of await readdir(join(this.#dir, 'deleting'))) await this.#finishDelete(id);
    this.#liveSnapshots = await this.#canMountSnapshots();
  }

  async #assertPool(): Promise<void> {
    const [pool = ''] = this.#dataset.split('/');
    try {
      await zfs('list', '-H', '-o', 'name', pool);
    } catch (cause) {
      if (!(cause instanceof ZfsError)) throw cause;
      const why = isProblem(cause, 'missing')
        ? `there is no ZFS pool ${pool}; \`zpool list\` shows those there are`
        : `ZFS does not work here: ${cause.message.split('\n')[0]}`;
      throw new StoreError('unsupported', why, { cause });
    }
  }

  async #makeFolders(): Promise<void> {
    const there = await zfsLines('list', '-H', '-r', '-d', '1', '-o', 'name', this.#dataset);
    const known = new Set(there.map(([name]) => name));
    for (const folder of [...SNAPSHOT_FOLDERS, CLONES, TEMPORARY]) {
      if (known.has(this.#at(folder))) continue;
      await zfs(
        ...['create', '-p', '-o', 'canmount=off', '-o', 'mountpoint=none', this.#at(folder)],
      ).catch(ignoring('exists'));
    }
  }

  /** Mount points that nothing is mounted on any more. */
  async #clearDirectories(): Promise<void> {
    const used = new Set(
      (await zfsLines('list', '-H', '-r', '-d', '1', '-o', 'name', this.#at(TEMPORARY))).map(
        ([name = '']) => name.slice(name.lastIndexOf('/') + 1),
      ),
    );
    for (const part of ['views', 'new']) {
      for (const name of await readdir(join(this.#dir, part))) {
        if (!used.has(name)) await removeEmpty(join(this.#dir, part, name));
      }
    }
  }

  async createSnapshot(id: string, fill: (dir: string) => Promise<void>): Promise<void> {
    if (await this.hasSnapshot(id)) return;
    const name = randomName('fill');
    const dataset = this.#at(TEMPORARY, name);
    try {
      const dir = join(this.#dir, 'new', name);
      await this.#create(dataset, dir, await ownerProperty());
      await fill(dir);
      await this.#seal(dataset);
      await this.#place(dataset, id);
    } catch (error) {
      await destroyDataset(dataset);
      throw this.#translate(error);
    } finally {
      await removeEmpty(join(this.#dir, 'new', name));
    }
  }

  /** Of two that commit the same, the first stays; a crash leaves the clone or the snapshot. */
  async commit(cloneName: string, id: string): Promise<void> {
    const dataset = this.#at(CLONES, cloneName);
    if (await this.hasSnapshot(id)) return this.deleteClone(cloneName);
    try {
      await this.#seal(dataset);
      await this.#place(dataset, id);
    } catch (error) {
      if (!isProblem(error, 'missing')) throw this.#translate(error);
      // Done by an earlier call, or by nobody.
      if (await this.hasSnapshot(id)) return;
      const message = `store ${this.#dataset} has no clone ${cloneName}`;
      throw new StoreError('clone_missing', message, { cause: error });
    }
    await removeEmpty(this.#cloneDir(cloneName));
  }

  /** Unmounts a dataset with those below it and makes its snapshot. Again, after a crash. */
  async #seal(dataset: string): Promise<void> {
    const parts = await partsOf(dataset);
    for (const part of parts.toReversed()) await unmount(part);
    try {
      await zfs('snapshot', '-r', `${dataset}@${SNAPSHOT}`);
    } catch (error) {
      if (!isProblem(error, 'exists')) throw error;
      await zfs('destroy', '-r', `${dataset}@${SNAPSHOT}`);
      await zfs('snapshot', '-r', `${dataset}@${SNAPSHOT}`);
    }
  }

  /** Makes a dataset that has its snapshot the snapshot `id`, unless another one was first. */
  async #place(dataset: string, id: string): Promise<void> {
    const place = this.#at(datasetOf(id));
    for (let tries = 1; ; tries += 1) {
      try {
        await zfs('rename', dataset, place);
        return;
      } catch (error) {
        if (!isProblem(error, 'exists')) throw error;
        if (await this.hasSnapshot(id)) return destroyDataset(dataset);
        if (tries > 1 || !(await isOurs(place))) throw error;
        await this.#destroyJunk(place);
      }
    }
  }

  async hasSnapshot(id: string): Promise<boolean> {
    return (await zfsLines('list', '-H', '-o', 'name', this.#snapshot(id))).length > 0;
  }

  async listSnapshots(): Promise<string[]> {
    const lines = await zfsLines(
      ...['list', '-H', '-r', '-t', 'snapshot', '-o', 'name'],
      this.#dataset,
    );
    const ids: string[] = [];
    for (const [name = ''] of lines) {
      const [dataset = '', snapshot] = name.slice(this.#dataset.length + 1).split('@');
      const id = snapshot === SNAPSHOT ? idOf(dataset) : undefined;
      if (id !== undefined) ids.push(id);
    }
    return ids;
  }

  /** First the snapshot, which ZFS refuses while it has clones; then what is none any more. */
  async deleteSnapshot(id: string): Promise<void> {
    if (!(await this.hasSnapshot(id))) return;
    const note = join(this.#dir, 'deleting', id);
    await writeFile(note, '');
    try {
      await zfs('destroy', this.#snapshot(id));
    } catch (error) {
      if (!isProblem(error, 'cloned', 'busy')) {
        if (!isProblem(error, 'missing')) throw this.#translate(error);
      } else {
        await rm(note, { force: true });
        throw await this.#inUse(id, error);
      }
    }
    await this.#finishDelete(id);
  }

  async #finishDelete(id: string): Promise<void> {
    if (!(await this.hasSnapshot(id))) await this.#destroyJunk(this.#at(datasetOf(id)));
    await rm(join(this.#dir, 'deleting', id), { force: true });
  }

  /** Removes what is left of a deletion: out of its place first, where another may be made anew. */
  async #destroyJunk(dataset: string): Promise<void> {
    const junk = this.#at(TEMPORARY, randomName('old'));
    await zfs('rename', dataset, junk).catch(ignoring('missing'));
    await destroyDataset(junk);
  }

  async #inUse(id: string, cause: unknown): Promise<StoreError> {
    const all = await zfsLines('list', '-H', '-r', '-o', 'name,origin', this.#dataset);
    const [child] = all.find(([, origin]) => origin === this.#snapshot(id)) ?? ['something'];
    return new StoreError('in_use', `snapshot ${id} is below ${child}; delete that first`, {
      cause,
    });
  }

  async clone(id: string, cloneName: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    await this.deleteClone(cloneName);
    const dataset = this.#at(CLONES, cloneName);
    try {
      await this.#clone(id, dataset, this.#cloneDir(cloneName), []);
      signal?.throwIfAborted();
    } catch (error) {
      await destroyDataset(dataset);
      await removeEmpty(this.#cloneDir(cloneName));
      throw this.#translate(error);
    }
    return this.#cloneDir(cloneName);
  }

  /** Clones a snapshot with those below it, and mounts them one in the other. */
  async #clone(id: string, to: string, dir: string, properties: readonly string[]): Promise<void> {
    const from = this.#at(datasetOf(id));
    const snapshots = await zfsLines('list', '-H', '-r', '-t', 'snapshot', '-o', 'name', from);
    const parts = snapshots
      .flatMap(([name = '']) => (name.endsWith(`@${SNAPSHOT}`) ? [name] : []))
      .map((name) => name.slice(from.length, -SNAPSHOT.length - 1))
      .toSorted();
    if (parts[0] !== '') {
      throw new StoreError('snapshot_missing', `store ${this.#dataset} has no snapshot ${id}`);
    }
    for (const part of parts) {
      await zfs(
        ...['clone', '-o', 'canmount=noauto', '-o', `mountpoint=${join(dir, part)}`],
        ...(part === '' ? ['-o', `${MADE}=1`, ...properties] : properties),
        ...[`${from}${part}@${SNAPSHOT}`, `${to}${part}`],
      );
    }
    for (const part of parts) await mount(`${to}${part}`);
  }

  async createClone(cloneName: string): Promise<string> {
    await this.deleteClone(cloneName);
    const dir = this.#cloneDir(cloneName);
    await this.#create(this.#at(CLONES, cloneName), dir, []);
    return dir;
  }

  async #create(dataset: string, dir: string, properties: readonly string[]): Promise<void> {
    await zfs(
      ...['create', '-o', 'canmount=noauto', '-o', `mountpoint=${dir}`, '-o', `${MADE}=1`],
      ...[...properties, dataset],
    );
    await mount(dataset);
    await chmod(dir, 0o711);
  }

  async makePart(cloneName: string, part: string): Promise<string> {
    const dir = join(this.#cloneDir(cloneName), part);
    const dataset = this.#at(CLONES, cloneName, part);
    await zfs('create', '-o', 'canmount=noauto', '-o', `mountpoint=${dir}`, dataset);
    await mount(dataset);
    return dir;
  }

  async listClones(): Promise<string[]> {
    const folder = this.#at(CLONES);
    const lines = await zfsLines('list', '-H', '-r', '-d', '1', '-o', 'name', folder);
    return lines.flatMap(([name = '']) => (name === folder ? [] : [name.slice(folder.length + 1)]));
  }

  async deleteClone(cloneName: string): Promise<void> {
    await destroyDataset(this.#at(CLONES, cloneName));
    await removeEmpty(this.#cloneDir(cloneName));
  }

  async withSnapshot<T>(id: string, read: (dir: string) => Promise<T>): Promise<T> {
    const name = randomName('view');
    const dataset = this.#at(TEMPORARY, name);
    const dir = join(this.#dir, 'views', name);
    try {
      if (this.#liveSnapshots && (await partsOf(this.#at(datasetOf(id)))).length === 1) {
        await mkdir(dir, { mode: 0o711 });
        await mountSnapshot(this.#snapshot(id), dir);
      } else {
        await this.#clone(id, dataset, dir, ['-o', 'readonly=on', ...(await ownerProperty())]);
      }
      return await read(dir);
    } finally {
      if (this.#liveSnapshots) await tool('umount', [dir]);
      await destroyDataset(dataset);
      await removeEmpty(dir);
    }
  }

  /** Only with OpenZFS on Linux, and only if it really works. */
  async #canMountSnapshots(): Promise<boolean> {
    if (process.platform !== 'linux') return false;
    if ((await tool('zfs', ['version'])).code !== 0) return false;
    const name = randomName('probe');
    const dataset = this.#at(TEMPORARY, name);
    const dir = join(this.#dir, 'views', name);
    try {
      await this.#create(dataset, dir, await ownerProperty());
      await this.#seal(dataset);
      await mountSnapshot(`${dataset}@${SNAPSHOT}`, dir);
      return true;
    } catch {
      return false;
    } finally {
      await tool('umount', [dir]);
      await destroyDataset(dataset);
      await removeEmpty(dir);
    }
  }

  async diskSpace(): Promise<{ totalBytes: number; freeBytes: number }> {
    const { used = 0, available = 0 } = await numbersOf(this.#dataset, 'used', 'available');
    return { totalBytes: used + available, freeBytes: available };
  }

  async snapshotBytes(id: string): Promise<number> {
    if (!(await this.hasSnapshot(id))) {
      throw new StoreError('snapshot_missing', `store ${this.#dataset} has no snapshot ${id}`);
    }
    const { used = 0 } = await numbersOf(this.#at(datasetOf(id)), 'used');
    return used;
  }

  #snapshot(id: string): string {
    return `${this.#at(datasetOf(id))}@${SNAPSHOT}`;
  }

  #at(...names: string[]): string {
    return [this.#dataset, ...names].join('/');
  }

  #cloneDir(name: string): string {
    return join(this.#dir, 'clones', name);
  }

  #translate(error: unknown): unknown {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT' || isProblem(error, 'full')) {
      const message = `the pool of store ${this.#dataset} is full; make room, or add a disk to it`;
      return new StoreError('no_space', message, { cause: error });
    }
    return error;
  }
}

async function ownerProperty(): Promise<string[]> {
  const identity = (await processIdentity(process.pid)) ?? String(process.pid);
  return ['-o', `${OWNER}=${encodeURIComponent(identity)}`];
}

function randomName(kind: string): string {
  return `${kind}-${randomBytes(6).toString('hex')}`;
}

/** Removes a mount point that nothing is mounted on. */
async function removeEmpty(dir: string): Promise<void> {
  try {
    await rmdir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Something of others' is in it, or mounted on it.
    if (!isMissing(error) && code !== 'ENOTEMPTY' && code !== 'EBUSY') throw error;
  }
}
