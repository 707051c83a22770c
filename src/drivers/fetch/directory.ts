import { readdir, realpath } from 'node:fs/promises';
import { copyTree, digestTree } from '../../platform/tree.ts';
import { KnownDigests } from './known-digests.ts';
import { FetchError, type FetchDriver, type FetchedBase, type Fetcher } from './fetch.ts';

/** A directory of this machine: a root file system, or a `home` and a `prefix`. */
export const directoryDriver: FetchDriver = {
  name: 'directory',
  form: '/dir, ./dir or dir:DIR',
  readsHost: true,
  accepts: (ref) => /^(dir:|\.{0,2}\/)/.test(ref),
  probe: async () => ({
    ...{ name: 'directory', rank: 10, available: true },
    detail: 'bases are copied from directories of this machine',
  }),
  open: ({ cacheDir }) => new DirectoryFetcher(new KnownDigests(cacheDir)),
};

class DirectoryFetcher implements Fetcher {
  readonly name = 'directory';
  readonly #known: KnownDigests;

  constructor(known: KnownDigests) {
    this.#known = known;
  }

  async resolve(ref: string, signal: AbortSignal) {
    const dir = await this.#find(ref);
    signal.throwIfAborted();
    const digest = await this.#known.of(dir, () => digestTree(dir));
    return { digest, pinned: `dir:${dir}` };
  }

  async fetch(pinned: string, dir: string, { signal }: { readonly signal: AbortSignal }) {
    const from = await this.#find(pinned);
    await copyTree(from, dir, { reflink: false, signal });
    return { layout: await layoutOf(dir), env: {} } satisfies FetchedBase;
  }

  async #find(ref: string): Promise<string> {
    const path = ref.replace(/^dir:/, '');
    try {
      const real = await realpath(path);
      await readdir(real);
      return real;
    } catch (cause) {
      throw new FetchError('missing', `the base ${path} is no directory that can be read`, {
        cause,
      });
    }
  }
}

/** A directory that holds just a home and a prefix is such a base; any other is a root. */
export async function layoutOf(dir: string): Promise<FetchedBase['layout']> {
  const names = (await readdir(dir)).toSorted();
  return names.join() === 'home,prefix' ? 'home' : 'root';
}
