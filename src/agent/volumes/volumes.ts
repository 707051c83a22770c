import { createHash, randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumeUse, WorkerSpec } from '../../domain/worker.ts';
import { StoreError, type Store, type StoreDriver } from '../../drivers/store/store.ts';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import { isThere } from '../../platform/is-there.ts';
import { limiter } from '../../platform/limiter.ts';
import { namesIn } from '../../platform/names-in.ts';
import { removeTree, treeBytes } from '../../platform/tree.ts';
import type { Leftover } from '../leftovers.ts';

interface Parts {
  readonly stores: Readonly<Record<string, StoreDriver>>;
  /** `volumes/` is made below it. */
  readonly dataDir: string;
}

/** Who uses volumes: a worker by its owned name. */
interface User {
  readonly name: string;
  readonly spec: WorkerSpec;
}

/** `state/<key>.json`: the newest version of a volume; of an exclusive one, who has it. */
interface VolumeRecord {
  readonly pool: string;
  readonly name: string;
  readonly trust: 'trusted' | 'untrusted';
  readonly mode: VolumeUse['mode'];
  readonly version?: string;
  readonly holder?: string;
  /** Wall-clock milliseconds at which a worker last had it. */
  readonly usedAt: number;
}

/** One volume of this host, for people. */
export interface VolumeInfo extends Omit<VolumeRecord, 'version'> {
  readonly key: string;
  /** At most so many bytes are freed with it. */
  readonly bytes: number;
}

/** `uses/<worker>.<volume>.json`: written before a worker has anything of a volume. */
interface UseRecord {
  readonly worker: string;
  readonly key: string;
  /** What its copy was made from. */
  readonly version?: string;
}

/**
 * Volumes of this host: what workers of a pool leave for those that come after them. There is one for each
 * pool, name and level of trust, so that nothing an untrusted worker writes is ever seen by a trusted one.
 * Of a volume of copies each worker has a clone of the newest version, which becomes the newest if its
 * job succeeded and nobody else's did meanwhile. An exclusive one is a directory that one worker has at
 * a time. All that lasts is in files; calls may be repeated after a crash.
 */
export class Volumes {
  readonly #parts: Parts;
  readonly #dir: string;
  #opened: Promise<Store> | undefined;
  /** Records are read and written by one at a time. */
  readonly #inTurn = limiter(1);

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#dir = join(parts.dataDir, 'volumes');
  }

  /** The directory of a volume for this worker. Throws when another worker has it. */
  async attach(user: User, use: VolumeUse, signal: AbortSignal): Promise<string> {
    const key = keyOf(user.spec, use);
    const name = useName(user.name, use.name);
    if (use.mode === 'exclusive') {
      await this.#inTurn(async () => {
        const holder = (await this.#find(key))?.holder;
        if (holder !== undefined && holder !== user.name) {
          throw new Error(`volume ${use.name} is in use by worker ${holder}`);
        }
        await this.#putUse(name, { worker: user.name, key });
        await this.#putRecord(key, { ...begun(user.spec, use), holder: user.name });
      });
      const dir = join(this.#dir, 'live', key);
      await mkdir(dir, { recursive: true, mode: 0o711 });
      return dir;
    }
    const store = await this.#store();
    // From here on the version stays until the use is over.
    const { version } = await this.#inTurn(async () => {
      const record = (await this.#find(key)) ?? begun(user.spec, use);
      const now = record.version === undefined ? {} : { version: record.version };
      await this.#putUse(name, { worker: user.name, key, ...now });
      await this.#putRecord(key, { ...record, usedAt: Date.now() });
      return record;
    });
    if (version === undefined) return store.createClone(name);
    try {
      return await store.clone(version, name, signal);
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'snapshot_missing')) throw error;
    }
    // It is a cache: what was lost is made again.
    await this.#inTurn(async () => {
      const record = await this.#find(key);
      await this.#putUse(name, { worker: user.name, key });
      if (record?.version === version) await this.#putRecord(key, begun(user.spec, use));
    });
    return store.createClone(name);
  }

  /** The worker uses it no more. `keep`: what it left becomes the newest version. Idempotent. */
  release(worker: string, use: VolumeUse, keep: boolean): Promise<void> {
    return this.#releaseByName(useName(worker, use.name), keep);
  }

  /** What is held for no worker. `isKnown`: whether a worker has that name now. */
  async leftovers(isKnown: (name: string) => boolean): Promise<Leftover[]> {
    const left: Leftover[] = [];
    for (const file of await namesIn(join(this.#dir, 'uses'))) {
      const use = await readJson<UseRecord>(join(this.#dir, 'uses', file));
      if (use !== undefined && isKnown(use.worker)) continue;
      const name = file.slice(0, -'.json'.length);
      const remove = () => this.#releaseByName(name, false);
      left.push({ kind: 'volume in use', name, remove });
    }
    return left;
  }

  /** Removes copies that are in nobody's use, and versions that nobody needs. */
  async sweep(): Promise<void> {
    if ((await namesIn(join(this.#dir, 'store'))).length === 0) return;
    const store = await this.#store();
    const left = new Set(await namesIn(join(this.#dir, 'uses')));
    for (const clone of await store.listClones()) {
      if (!left.has(`${clone}.json`)) await store.deleteClone(clone);
    }
    const needed = await this.#needed();
    for (const snapshot of await store.listSnapshots()) {
      if (!needed.has(snapshot)) await deleteIfFree(store, snapshot);
    }
  }

  async #releaseByName(name: string, keep: boolean): Promise<void> {
    const path = join(this.#dir, 'uses', `${name}.json`);
    const use = await readJson<UseRecord>(path);
    if (use === undefined) return;
    const kept = await this.#inTurn(() => this.#settle(name, use, keep));
    if (!kept) await (await this.#store()).deleteClone(name);
    await rm(path, { force: true });
    if (use.version !== undefined) await this.#deleteUnlessNeeded(use.version);
  }

  /** What becomes of a use. False when there may be a copy to be removed. */
  async #settle(name: string, use: UseRecord, keep: boolean): Promise<boolean> {
    const record = await this.#find(use.key);
    if (record?.mode === 'exclusive') {
      const { holder, ...free } = record;
      if (holder === use.worker) await this.#putRecord(use.key, free);
      return true;
    }
    if (!keep || record === undefined || record.version !== use.version) return false;
    const store = await this.#store();
    if (!(await store.listClones()).includes(name)) return true;
    const version = `${use.key}.${randomBytes(6).toString('hex')}`;
    await store.commit(name, version);
    await this.#putRecord(use.key, { ...record, version });
    return true;
  }

  /** A version is needed as long as it is the newest one, or some worker's copy was made from it. */
  async #deleteUnlessNeeded(version: string): Promise<void> {
    if ((await this.#needed()).has(version)) return;
    await deleteIfFree(await this.#store(), version);
  }

  async #needed(): Promise<Set<string>> {
    const needed = new Set<string>();
    for (const part of ['uses', 'state']) {
      for (const file of await namesIn(join(this.#dir, part))) {
        const { version } =
          (await readJson<{ version?: string }>(join(this.#dir, part, file))) ?? {};
        if (version !== undefined) needed.add(version);
      }
    }
    return needed;
  }

  /** Those of this host, by pool and name. */
  async list(): Promise<VolumeInfo[]> {
    const infos: VolumeInfo[] = [];
    for (const file of (await namesIn(join(this.#dir, 'state'))).toSorted()) {
      const key = file.slice(0, -'.json'.length);
      const record = await this.#find(key);
      if (record === undefined) continue;
      const { version, ...rest } = record;
      infos.push({ ...rest, key, bytes: await this.#bytesOf(key, version) });
    }
    return infos;
  }

  /**
   * Begins a volume anew for the workers to come; what workers have of it now is dropped with them. Throws
   * when an exclusive one is in use. Another process may do it than the agent.
   */
  async forget(key: string): Promise<void> {
    const record = await this.#find(key);
    if (record?.holder !== undefined) {
      throw new Error(`volume ${record.name} is in use by worker ${record.holder}`);
    }
    await rm(join(this.#dir, 'state', `${key}.json`), { force: true });
    await removeTree(join(this.#dir, 'live', key));
    if (record?.version !== undefined) await this.#deleteUnlessNeeded(record.version);
  }

  async #bytesOf(key: string, version: string | undefined): Promise<number> {
    const live = join(this.#dir, 'live', key);
    if (await isThere(live)) return treeBytes(live);
    if (version === undefined) return 0;
    const store = await this.#store();
    return (await store.hasSnapshot(version)) ? store.snapshotBytes(version) : 0;
  }

  #find(key: string): Promise<VolumeRecord | undefined> {
    return readJson<VolumeRecord>(join(this.#dir, 'state', `${key}.json`));
  }

  async #putRecord(key: string, record: VolumeRecord): Promise<void> {
    await mkdir(join(this.#dir, 'state'), { recursive: true, mode: 0o711 });
    await writeJson(join(this.#dir, 'state', `${key}.json`), record, { flush: true });
  }

  async #putUse(name: string, use: UseRecord): Promise<void> {
    await mkdir(join(this.#dir, 'uses'), { recursive: true, mode: 0o711 });
    await writeJson(join(this.#dir, 'uses', `${name}.json`), use);
  }

  #store(): Promise<Store> {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  /** The best that works in that place; which one it was stays. */
  async #open(): Promise<Store> {
    const root = join(this.#dir, 'store');
    await mkdir(root, { recursive: true, mode: 0o711 });
    const chosen = join(this.#dir, 'store.json');
    const before = await readJson<{ driver: string }>(chosen);
    const name = before?.driver ?? (await this.#best(root));
    const driver = this.#parts.stores[name];
    if (driver === undefined) throw new Error(`volumes are in a store ${name}, which is not there`);
    await writeJson(chosen, { driver: name });
    const store = driver.open(root);
    await store.recover();
    return store;
  }

  async #best(root: string): Promise<string> {
    const { stores } = this.#parts;
    for (const driver of Object.values(stores).toSorted((a, b) => b.rank - a.rank)) {
      if ((await driver.probe(root)).available) return driver.name;
    }
    throw new Error('no store for volumes works on this host; `pomona doctor` says why');
  }
}

function begun(spec: WorkerSpec, { name, mode }: VolumeUse): VolumeRecord {
  return { pool: spec.pool, name, trust: spec.trust ?? 'trusted', mode, usedAt: Date.now() };
}

/** Clones of it may rest on it; then it goes another time. */
async function deleteIfFree(store: Store, snapshot: string): Promise<void> {
  try {
    await store.deleteSnapshot(snapshot);
  } catch (error) {
    if (!(error instanceof StoreError && error.code === 'in_use')) throw error;
  }
}

/**
 * A name that stores take: readable, and another for each pool, volume, mode and level of trust. What a
 * guest wrote to a folder is never taken for a disk: each kind of worker and driver has its own, too.
 */
function keyOf(spec: WorkerSpec, { name: volume, mode }: VolumeUse): string {
  const { pool, kind } = spec;
  const trust = spec.trust ?? 'trusted';
  const driver = spec.kind === 'vm' ? spec.vm : '';
  const identity = JSON.stringify([trust, pool, volume, mode, kind, driver]);
  const hash = createHash('sha256').update(identity).digest('hex');
  return `${trust}-${pool.slice(0, 32)}-${volume.slice(0, 32)}-${hash.slice(0, 12)}`;
}

function useName(worker: string, volume: string): string {
  return `${worker}.${volume}`;
}
