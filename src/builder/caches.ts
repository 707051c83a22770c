import { createHash, randomBytes } from 'node:crypto';
import { StoreError, type Store } from '../drivers/store/store.ts';
import type { Trust } from './trust.ts';
import type { BuildIndex } from './state/build-index.ts';

/** A directory that a command keeps things in for the next command with the same cache. */
export interface CacheLease {
  readonly dir: string;
  readonly readOnly: boolean;
  /** Makes what is in it the newest version, unless someone else's became that first. */
  keep(): Promise<void>;
  /** Gives it up. */
  drop(): Promise<void>;
}

interface Parts {
  readonly store: Store;
  readonly index: BuildIndex;
  readonly owner: string;
  readonly now: () => number;
}

/**
 * Caches of one store. Each user gets a writable copy of the newest version, and what it leaves is
 * the newest version if nobody's was meanwhile. What untrusted builds leave is seen by untrusted
 * builds alone; they begin with what trusted ones left where they have none of their own.
 */
export class Caches {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** `cloneName`: of the copy, which is the caller's to remove with `drop` after a crash too. */
  async lease(
    id: string,
    options: { readonly trust: Trust; readonly readOnly: boolean; readonly cloneName: string },
    signal: AbortSignal,
  ): Promise<CacheLease> {
    const { store, index, owner, now } = this.#parts;
    const { trust, cloneName, readOnly } = options;
    const name = cacheName(id, trust);
    const own = index.useCache(name, owner, now());
    const version =
      own ??
      (trust === 'trusted' ? undefined : index.useCache(cacheName(id, 'trusted'), owner, now()));
    if (readOnly && version !== undefined && store.capabilities.liveSnapshots) {
      return this.#share(version);
    }
    let dir: string;
    try {
      dir =
        version === undefined
          ? await store.createClone(cloneName)
          : await store.clone(version, cloneName, signal);
    } finally {
      if (version !== undefined) await this.#release(version);
    }
    const drop = () => store.deleteClone(cloneName);
    const keep = async () => {
      const next = `cache.${name}.${randomBytes(6).toString('hex')}`;
      await store.commit(cloneName, next);
      const replaced = index.replaceCache(name, own, next, now());
      if (!replaced) await store.deleteSnapshot(next);
      else if (own !== undefined) await this.#removeUnneeded(own);
    };
    return { dir, readOnly, keep: readOnly ? drop : keep, drop };
  }

  /** The newest version itself, which stays as long as it is read. */
  async #share(version: string): Promise<CacheLease> {
    const over = Promise.withResolvers<void>();
    const shown = Promise.withResolvers<string>();
    const reading = this.#parts.store.withSnapshot(version, (dir) => {
      shown.resolve(dir);
      return over.promise;
    });
    reading.catch(shown.reject);
    const drop = async () => {
      over.resolve();
      await reading;
      await this.#release(version);
    };
    const dir = await shown.promise.catch(async (error: unknown) => {
      await this.#release(version);
      throw error;
    });
    return { dir, readOnly: true, keep: drop, drop };
  }

  async #release(version: string): Promise<void> {
    this.#parts.index.releaseCache(version, this.#parts.owner);
    await this.#removeUnneeded(version);
  }

  async #removeUnneeded(version: string): Promise<void> {
    if (this.#parts.index.cacheVersionNeeded(version)) return;
    try {
      await this.#parts.store.deleteSnapshot(version);
    } catch (error) {
      // Newer versions rest on it; it is tried again when the store is tidied.
      if (!(error instanceof StoreError && error.code === 'in_use')) throw error;
    }
  }

  /** Removes a cache. False when someone reads it. */
  async remove(name: string): Promise<boolean> {
    const { index } = this.#parts;
    const row = index.caches().find((cache) => cache.name === name);
    if (row === undefined) return true;
    if (!index.forgetCache(name)) return false;
    await this.#removeUnneeded(row.version);
    return true;
  }
}

/** A name that stores take: readable, and another for each id and trust. */
export function cacheName(id: string, trust: Trust): string {
  const readable = id
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 32);
  const hash = createHash('sha256').update(`${trust}\0${id}`).digest('hex').slice(0, 12);
  return `${trust === 'trusted' ? 't' : 'u'}-${readable}-${hash}`;
}
