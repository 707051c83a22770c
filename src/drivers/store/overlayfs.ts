import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rename, rm, stat, statfs, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isMissing, readJson, writeFileAtomic, writeJson } from '../../platform/atomic-file.ts';
import { namesIn } from '../../platform/names-in.ts';
import { isAlive, processIdentity } from '../../platform/process-table.ts';
import { copyTree, removeTree, treeBytes } from '../../platform/tree.ts';
import { directoryPlace } from './directory-place.ts';
import { probeStore } from './probe.ts';
import { StoreError, type Store, type StoreCapabilities, type StoreDriver } from './store.ts';

const run = promisify(execFile);

/** Layers of one mount: the kernel takes 500, and one page of options. */
const MOST_LAYERS = 300;

/** Each snapshot only what changed since the one before it, shown together by overlayfs. Linux, root. */
export const overlayfsDriver: StoreDriver = {
  name: 'overlayfs',
  ...directoryPlace('overlayfs'),
  // Below `copy`: workers' stores let images go before their clones, which this one cannot.
  rank: 5,
  probe: (root) =>
    probeStore(
      overlayfsDriver,
      root,
      'clones are overlayfs mounts, made in constant time; for builds, on any file system',
      'needs Linux, root and overlayfs',
    ),
  open: (root) => new OverlayStore(root),
};

/** What a snapshot or clone is made of, beside its own `diff`. */
interface Meta {
  /** Short name of its own layer, in `l/`. */
  readonly layer: string;
  /** Snapshots below it, nearest first, each with its layer. */
  readonly below: readonly { readonly id: string; readonly layer: string }[];
}

/**
 * | path                      | what                                                             |
 * |---------------------------|------------------------------------------------------------------|
 * | `snapshots/ID/`           | `diff` and `meta.json`                                           |
 * | `clones/NAME/`            | the same, with `work` and, where it is mounted, `mnt`            |
 * | `l/LAYER`                 | a link to a snapshot's `diff`: short, for the mount's options    |
 * | `refs/ID/{c,s}.NAME`      | a clone or snapshot that was made from snapshot ID               |
 * | `views/PROCESS/X`         | where a snapshot is shown for a while                            |
 * | `new/PROCESS/`            | what is being made or removed                                    |
 */
class OverlayStore implements Store {
  readonly name = 'overlayfs';
  readonly capabilities: StoreCapabilities = {
    ...{ cloning: 'snapshot', childrenFirst: true, liveSnapshots: true },
  };
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async recover(): Promise<void> {
    for (const [part, mode] of [
      ...([
        ['snapshots', 0o700],
        ['new', 0o700],
        ['refs', 0o700],
      ] as const),
      ...([
        ['clones', 0o711],
        ['l', 0o700],
        ['views', 0o711],
      ] as const),
    ] as const) {
      await mkdir(join(this.#root, part), { recursive: true, mode });
    }
    for (const part of ['views', 'new']) {
      for (const owner of await readdir(join(this.#root, part))) {
        if (await isAlive(decodeURIComponent(owner))) continue;
        const dir = join(this.#root, part, owner);
        for (const each of await namesIn(dir)) await this.#remove(join(dir, each));
        await removeTree(dir);
      }
    }
  }

  async createSnapshot(id: string, fill: (dir: string) => Promise<void>): Promise<void> {
    if (await this.hasSnapshot(id)) return;
    const name = `fill-${id}-${randomBytes(4).toString('hex')}`;
    try {
      await fill(await this.createClone(name));
      await this.commit(name, id);
    } catch (error) {
      await this.deleteClone(name);
      throw translate(error, this.#root);
    }
  }

  async hasSnapshot(id: string): Promise<boolean> {
    return (await readJson<Meta>(join(this.#snapshot(id), 'meta.json'))) !== undefined;
  }

  listSnapshots(): Promise<string[]> {
    return readdir(join(this.#root, 'snapshots'));
  }

  async commit(cloneName: string, id: string): Promise<void> {
    const clone = this.#clone(cloneName);
    const meta = await readJson<Meta>(join(clone, 'meta.json'));
    if (await this.hasSnapshot(id)) return this.deleteClone(cloneName);
    if (meta === undefined) {
      throw new StoreError('clone_missing', `store ${this.#root} has no clone ${cloneName}`);
    }
    await unmount(join(clone, 'mnt'));
    for (const part of ['mnt', 'work']) await removeTree(join(clone, part));
    await this.#refer(meta, `s.${id}`);
    const link = join(this.#root, 'l', meta.layer);
    await rm(link, { force: true });
    await symlink(`../snapshots/${id}/diff`, link);
    try {
      await rename(clone, this.#snapshot(id));
    } catch (error) {
      if (!(await this.hasSnapshot(id))) throw translate(error, this.#root);
      await rm(link, { force: true });
      return this.deleteClone(cloneName);
    }
    await this.#unrefer(meta, `c.${cloneName}`);
  }

  async deleteSnapshot(id: string): Promise<void> {
    const meta = await readJson<Meta>(join(this.#snapshot(id), 'meta.json'));
    if (meta === undefined) return;
    const child = await this.#childOf(id);
    if (child !== undefined) {
      throw new StoreError('in_use', `snapshot ${id} is below ${child}; delete that first`);
    }
    const temporary = await this.#temporary(`old-snapshot-${id}`);
    await rename(this.#snapshot(id), temporary).catch(ignoreMissing);
    await rm(join(this.#root, 'l', meta.layer), { force: true });
    await this.#unrefer(meta, `s.${id}`);
    await removeTree(join(this.#root, 'refs', id));
    await removeTree(temporary);
  }

  async clone(id: string, cloneName: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const parent = await this.#expect(id);
    await this.deleteClone(cloneName);
    const below = [{ id, layer: parent.layer }, ...parent.below];
    if (below.length > MOST_LAYERS) return this.#flatClone(id, cloneName, signal);
    const dir = await this.#makeClone(cloneName, below, async (diff) => {
      // What the top directory is like comes from the uppermost layer.
      const { mode, uid, gid } = await stat(join(this.#snapshot(id), 'diff'));
      await chown(diff, uid, gid);
      await chmod(diff, mode & 0o7777);
    });
    const lower = below.map(({ layer }) => layer).join(':');
    const own = `../clones/${cloneName}`;
    const options = `lowerdir=${lower},upperdir=${own}/diff,workdir=${own}/work`;
    await this.#mount(options, join(dir, 'mnt'));
    return join(dir, 'mnt');
  }

  /** A copy of all that the layers show, which has none below it. */
  async #flatClone(
    id: string,
    cloneName: string,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    await this.withSnapshot(id, (view) =>
      this.#makeClone(cloneName, [], (diff) => copyTree(view, diff, { reflink: false, signal })),
    );
    return join(this.#clone(cloneName), 'diff');
  }

  async createClone(cloneName: string): Promise<string> {
    await this.deleteClone(cloneName);
    return join(await this.#makeClone(cloneName, [], async () => undefined), 'diff');
  }

  async makePart(cloneName: string, part: string): Promise<string> {
    const clone = this.#clone(cloneName);
    const meta = await readJson<Meta>(join(clone, 'meta.json'));
    const dir = join(clone, meta?.below.length === 0 ? 'diff' : 'mnt', part);
    await mkdir(dir, { mode: 0o711 });
    return dir;
  }

  async #makeClone(
    name: string,
    below: Meta['below'],
    fill: (diff: string) => Promise<void>,
  ): Promise<string> {
    const meta: Meta = { layer: randomBytes(6).toString('base64url'), below };
    const temporary = await this.#temporary(`clone-${name}`);
    try {
      for (const part of ['', 'diff', 'work', 'mnt']) {
        await mkdir(join(temporary, part), { mode: 0o711 });
      }
      await fill(join(temporary, 'diff'));
      await writeJson(join(temporary, 'meta.json'), meta);
      await this.#refer(meta, `c.${name}`);
      await rename(temporary, this.#clone(name));
    } catch (error) {
      await removeTree(temporary);
      throw translate(error, this.#root);
    }
    return this.#clone(name);
  }

  listClones(): Promise<string[]> {
    return readdir(join(this.#root, 'clones'));
  }

  async deleteClone(cloneName: string): Promise<void> {
    const clone = this.#clone(cloneName);
    const meta = await readJson<Meta>(join(clone, 'meta.json'));
    await unmount(join(clone, 'mnt'));
    const temporary = await this.#temporary(`old-clone-${cloneName}`);
    await rename(clone, temporary).catch(ignoreMissing);
    await removeTree(temporary);
    if (meta !== undefined) await this.#unrefer(meta, `c.${cloneName}`);
  }

  async withSnapshot<T>(id: string, read: (dir: string) => Promise<T>): Promise<T> {
    const { layer, below } = await this.#expect(id);
    if (below.length === 0) return read(join(this.#snapshot(id), 'diff'));
    const name = randomBytes(6).toString('base64url');
    const view = join(this.#root, 'views', await ownName(), name);
    await mkdir(view, { recursive: true, mode: 0o711 });
    try {
      const layers = [layer, ...below.map((each) => each.layer)];
      await this.#mount(`ro,lowerdir=${layers.join(':')}`, view);
      return await read(view);
    } finally {
      await this.#remove(view);
    }
  }

  async diskSpace(): Promise<{ totalBytes: number; freeBytes: number }> {
    const { bsize, blocks, bavail } = await statfs(this.#root);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
  }

  async snapshotBytes(id: string): Promise<number> {
    await this.#expect(id);
    return treeBytes(join(this.#snapshot(id), 'diff'));
  }

  async #expect(id: string): Promise<Meta> {
    const meta = await readJson<Meta>(join(this.#snapshot(id), 'meta.json'));
    if (meta !== undefined) return meta;
    throw new StoreError('snapshot_missing', `store ${this.#root} has no snapshot ${id}`);
  }

  /** From within `l`, where layers' names are short. */
  async #mount(options: string, target: string): Promise<void> {
    const all = `${options},index=off,redirect_dir=off,metacopy=off`;
    try {
      await run('mount', ['-t', 'overlay', 'overlay', '-o', all, target], {
        cwd: join(this.#root, 'l'),
      });
    } catch (cause) {
      throw new StoreError('unsupported', `overlayfs cannot be mounted at ${target}`, { cause });
    }
  }

  async #remove(dir: string): Promise<void> {
    await unmount(dir);
    await unmount(join(dir, 'mnt'));
    await removeTree(dir);
  }

  /** Only with the nearest one: those further down are below that. */
  async #refer({ below: [nearest] }: Meta, child: string): Promise<void> {
    if (nearest === undefined) return;
    const refs = join(this.#root, 'refs', nearest.id);
    await mkdir(refs, { recursive: true, mode: 0o700 });
    await writeFileAtomic(join(refs, child), '');
  }

  async #unrefer({ below: [nearest] }: Meta, child: string): Promise<void> {
    if (nearest !== undefined)
      await rm(join(this.#root, 'refs', nearest.id, child), { force: true });
  }

  /** What has the snapshot below it, if anything that is really there does. */
  async #childOf(id: string): Promise<string | undefined> {
    for (const ref of await namesIn(join(this.#root, 'refs', id))) {
      const [kind, name] = [ref.slice(0, 2), ref.slice(2)];
      const dir = kind === 's.' ? this.#snapshot(name) : this.#clone(name);
      const meta = await readJson<Meta>(join(dir, 'meta.json'));
      if (meta?.below[0]?.id === id) return name;
    }
    return undefined;
  }

  async #temporary(name: string): Promise<string> {
    const own = join(this.#root, 'new', await ownName());
    await mkdir(own, { recursive: true, mode: 0o700 });
    const temporary = join(own, name);
    await removeTree(temporary);
    return temporary;
  }

  #snapshot(id: string): string {
    return join(this.#root, 'snapshots', id);
  }

  #clone(name: string): string {
    return join(this.#root, 'clones', name);
  }
}

async function ownName(): Promise<string> {
  return encodeURIComponent((await processIdentity(process.pid)) ?? String(process.pid));
}

/** What is not mounted is no error; what is in use goes when it is not any more. */
async function unmount(dir: string): Promise<void> {
  try {
    const [own, above] = await Promise.all([stat(dir), stat(join(dir, '..'))]);
    if (own.dev === above.dev) return;
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await run('umount', ['-l', dir]);
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error;
}

function translate(error: unknown, root: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new StoreError(
    'no_space',
    `the disk of store ${root} is full; make room, or move the data directory`,
    { cause: error },
  );
}
