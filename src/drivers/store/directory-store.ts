import { mkdir, readdir, rename, rm, rmdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing, readJson, writeJson } from '../../platform/atomic-file.ts';
import { isAlive, processIdentity } from '../../platform/process-table.ts';
import { treeBytes } from '../../platform/tree.ts';
import { StoreError, type Store, type StoreCapabilities } from './store.ts';

/** The few operations in which stores made of directories differ. */
export interface DirectoryOperations {
  /** Makes an empty directory that can become a snapshot or a clone. */
  make(dir: string): Promise<void>;
  /** Makes the writable directory `to` as a copy of `from`. */
  copy(from: string, to: string, signal: AbortSignal | undefined): Promise<void>;
  /** Makes a snapshot immutable, or not any more, where the file system has that. */
  freeze(dir: string, frozen: boolean): Promise<void>;
  remove(dir: string): Promise<void>;
  /** Waits until the room that removed directories took is free. Absent: it is at once. */
  settle?(dir: string): Promise<void>;
  /**
   * Makes the directory `to` like `from`, sharing what it can with `parent`, which `from` is a
   * changed copy of. Absent: what is committed is moved into its place.
   */
  share?(from: string, to: string, parent: string): Promise<void>;
}

/** With less room than this, what is removed is waited for. */
const LOW_BYTES = 2 ** 28;

/** What every store of directories can do, whatever its way of cloning. */
export function directoryCapabilities(cloning: StoreCapabilities['cloning']): StoreCapabilities {
  return { cloning, childrenFirst: false, liveSnapshots: true };
}

/**
 * A store of directories: `snapshots/<id>`, `clones/<name>`, and `new/<process>/`, where everything
 * is made before a rename puts it in its place. What is in there when the process is gone is junk.
 */
export class DirectoryStore implements Store {
  readonly name: string;
  readonly capabilities: StoreCapabilities;
  readonly #root: string;
  readonly #operations: DirectoryOperations;

  constructor(
    name: string,
    capabilities: StoreCapabilities,
    root: string,
    operations: DirectoryOperations,
  ) {
    this.name = name;
    this.capabilities = capabilities;
    this.#root = root;
    this.#operations = operations;
  }

  async recover(): Promise<void> {
    // Workers' users pass through to their own clones, and to nothing else.
    for (const [part, mode] of [
      ['snapshots', 0o700],
      ['new', 0o700],
      ['clones', 0o711],
      ...(this.#operations.share === undefined ? [] : ([['parents', 0o700]] as const)),
    ] as const) {
      await mkdir(join(this.#root, part), { recursive: true, mode });
    }
    for (const owner of await readdir(join(this.#root, 'new'))) {
      if (!(await isAlive(decodeURIComponent(owner)))) await this.#clear(owner);
    }
  }

  /** Removes what a process that is gone was making. Others may be at it too. */
  async #clear(owner: string): Promise<void> {
    const dir = join(this.#root, 'new', owner);
    try {
      for (const junk of await readdir(dir)) await this.#operations.remove(join(dir, junk));
      await rmdir(dir);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async createSnapshot(id: string, fill: (dir: string) => Promise<void>): Promise<void> {
    if (await this.hasSnapshot(id)) return;
    await this.#makeAt(this.#snapshot(id), `snapshot-${id}`, async (dir) => {
      await this.#operations.make(dir);
      await fill(dir);
    });
    await this.#operations.freeze(this.#snapshot(id), true);
  }

  async commit(cloneName: string, id: string): Promise<void> {
    if (this.#operations.share !== undefined && (await this.#share(cloneName, id))) return;
    try {
      await rename(this.#clone(cloneName), this.#snapshot(id));
    } catch (error) {
      if (!isTaken(error) && !isMissing(error)) throw this.#translate(error);
      if (await this.hasSnapshot(id)) return this.deleteClone(cloneName);
      throw new StoreError('clone_missing', `store ${this.#root} has no clone ${cloneName}`, {
        cause: error,
      });
    }
    await this.#operations.freeze(this.#snapshot(id), true);
  }

  /** False when there is nothing to share with. */
  async #share(cloneName: string, id: string): Promise<boolean> {
    const parent = await readJson<string>(this.#parentFile(cloneName));
    const there = (await this.listClones()).includes(cloneName);
    if (parent === undefined || !there || !(await this.hasSnapshot(parent))) return false;
    if (!(await this.hasSnapshot(id))) {
      await this.#makeAt(this.#snapshot(id), `snapshot-${id}`, async (dir) =>
        this.#operations.share?.(this.#clone(cloneName), dir, this.#snapshot(parent)),
      );
      await this.#operations.freeze(this.#snapshot(id), true);
    }
    await this.deleteClone(cloneName);
    return true;
  }

  async withSnapshot<T>(id: string, read: (dir: string) => Promise<T>): Promise<T> {
    await this.#expect(id);
    return read(this.#snapshot(id));
  }

  async hasSnapshot(id: string): Promise<boolean> {
    try {
      await stat(this.#snapshot(id));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  listSnapshots(): Promise<string[]> {
    return readdir(join(this.#root, 'snapshots'));
  }

  async deleteSnapshot(id: string): Promise<void> {
    if (!(await this.hasSnapshot(id))) return;
    await this.#operations.freeze(this.#snapshot(id), false);
    await this.#retire(this.#snapshot(id), `old-snapshot-${id}`);
  }

  async clone(id: string, cloneName: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    await this.#expect(id);
    await this.deleteClone(cloneName);
    const dir = this.#clone(cloneName);
    if (this.#operations.share !== undefined) await writeJson(this.#parentFile(cloneName), id);
    await this.#makeAt(dir, `clone-${cloneName}`, (temporary) =>
      this.#operations.copy(this.#snapshot(id), temporary, signal),
    );
    return dir;
  }

  async createClone(cloneName: string): Promise<string> {
    await this.deleteClone(cloneName);
    const dir = this.#clone(cloneName);
    await this.#makeAt(dir, `clone-${cloneName}`, (temporary) => this.#operations.make(temporary));
    return dir;
  }

  async makePart(cloneName: string, part: string): Promise<string> {
    const dir = join(this.#clone(cloneName), part);
    await mkdir(dir, { mode: 0o711 });
    return dir;
  }

  listClones(): Promise<string[]> {
    return readdir(join(this.#root, 'clones'));
  }

  async deleteClone(cloneName: string): Promise<void> {
    await this.#retire(this.#clone(cloneName), `old-clone-${cloneName}`);
    if (this.#operations.share !== undefined)
      await rm(this.#parentFile(cloneName), { force: true });
  }

  async diskSpace(): Promise<{ totalBytes: number; freeBytes: number }> {
    await this.#operations.settle?.(this.#root);
    return spaceOf(this.#root);
  }

  async snapshotBytes(id: string): Promise<number> {
    await this.#expect(id);
    return treeBytes(this.#snapshot(id));
  }

  async #expect(id: string): Promise<void> {
    if (await this.hasSnapshot(id)) return;
    throw new StoreError('snapshot_missing', `store ${this.#root} has no snapshot ${id}`);
  }

  async #makeAt(
    place: string,
    temporaryName: string,
    make: (dir: string) => Promise<void>,
  ): Promise<void> {
    const temporary = await this.#temporary(temporaryName);
    try {
      await make(temporary);
      await rename(temporary, place);
    } catch (error) {
      await this.#remove(temporary);
      // Another process was first, with the same content.
      if (isTaken(error)) return;
      throw this.#translate(error);
    }
  }

  /** Out of its place first, so that a removal that is cut off leaves nothing that looks whole. */
  async #retire(place: string, temporaryName: string): Promise<void> {
    let temporary: string;
    try {
      temporary = await this.#temporary(temporaryName);
      await rename(place, temporary);
    } catch (error) {
      if (isMissing(error)) return;
      // A file system may be too full even for a rename, and removing is what makes room.
      const atOnce = this.capabilities.cloning === 'snapshot' || dirname(place) === this.#clones;
      if (!isFull(error) || !atOnce) throw error;
      return this.#remove(place);
    }
    await this.#remove(temporary);
  }

  async #remove(dir: string): Promise<void> {
    await this.#operations.remove(dir);
    if (this.#operations.settle === undefined) return;
    // Whoever filled the disk wants to go on.
    if ((await spaceOf(this.#root)).freeBytes < LOW_BYTES)
      await this.#operations.settle(this.#root);
  }

  /** A place of this process's own where nothing is. */
  async #temporary(name: string): Promise<string> {
    const identity = await processIdentity(process.pid);
    const own = join(this.#root, 'new', encodeURIComponent(identity ?? String(process.pid)));
    await mkdir(own, { recursive: true, mode: 0o700 });
    const temporary = join(own, name);
    await this.#operations.remove(temporary);
    return temporary;
  }

  /** Where it is kept which snapshot a clone was made from. */
  #parentFile(cloneName: string): string {
    return join(this.#root, 'parents', cloneName);
  }

  #snapshot(id: string): string {
    return join(this.#root, 'snapshots', id);
  }

  get #clones(): string {
    return join(this.#root, 'clones');
  }

  #clone(name: string): string {
    return join(this.#clones, name);
  }

  #translate(error: unknown): unknown {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOSPC':
      case 'EDQUOT':
        return new StoreError(
          'no_space',
          `the disk of store ${this.#root} is full; make room, or move the data directory`,
          { cause: error },
        );
      case 'ENOTSUP':
      case 'EOPNOTSUPP':
      case 'EXDEV':
        return new StoreError(
          'unsupported',
          `store ${this.name} does not work on the file system of ${this.#root}`,
          { cause: error },
        );
      default:
        return error;
    }
  }
}

async function spaceOf(dir: string): Promise<{ totalBytes: number; freeBytes: number }> {
  const { bsize, blocks, bavail } = await statfs(dir);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Something is at the place that a directory was to be renamed to. */
function isTaken(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOTEMPTY' || code === 'EEXIST';
}
