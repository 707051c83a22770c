import { mkdir, readdir, realpath, rename, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { BaseOptions, Bases, ResolvedBase } from '../../builder/bases.ts';
import { BuildError } from '../../builder/build-error.ts';
import { layoutOf } from '../../drivers/fetch/directory.ts';
import { FETCH_DRIVERS } from '../../drivers/fetch/drivers.ts';
import { FetchError } from '../../drivers/fetch/fetch.ts';
import { vmDriverOf } from '../../drivers/vm/files.ts';
import type { LocalImages } from '../../images/local-images.ts';
import { ImageError } from '../../images/reference.ts';
import { copyTree, removeTree } from '../../platform/tree.ts';
import { size } from '../output.ts';
import { asMachine, machineBase } from './machine-bases.ts';

const IMAGE = /^pomona:(.+)$/;

interface Options {
  /** For relative paths. */
  readonly contextDir: string;
  readonly cacheDir: string;
  readonly images: LocalImages;
  /** Any directories and files of this machine may be bases, not only those of the context. */
  readonly hostBases: boolean;
}

/** What can follow `from`: what a fetcher takes, and images of this machine. */
export function basesOf(options: Options): Bases {
  return {
    async resolve(from, machine, signal) {
      try {
        const name = IMAGE.exec(from)?.[1];
        if (name !== undefined) return await imageBase(options.images, name);
        const file = /^(vm|ipsw):(.+)$/s.exec(from);
        if (file !== null) return await machineBase(from, machine, options);
        return await fetched(from, options, signal);
      } catch (cause) {
        if (!(cause instanceof FetchError || cause instanceof ImageError)) throw cause;
        throw new BuildError('bad_base', `from ${from}: ${cause.message}`, { cause });
      }
    },
  };
}

async function fetched(
  from: string,
  { contextDir, cacheDir, hostBases }: Pick<Options, 'contextDir' | 'cacheDir' | 'hostBases'>,
  signal: AbortSignal,
): Promise<ResolvedBase> {
  const driver = FETCH_DRIVERS.find((each) => each.accepts(from));
  if (driver === undefined) {
    const forms = [
      ...FETCH_DRIVERS.map(({ form }) => form),
      'pomona:IMAGE',
      'vm:PATH, a disk or a machine of this host',
      'ipsw:FILE',
    ].join('; ');
    throw new FetchError('missing', `nothing is known by that name; bases are: ${forms}`);
  }
  const [, kind = '', path] = /^((?:dir|tar|oci):)?(\.{1,2}\/.*)$/s.exec(from) ?? [];
  const ref = path === undefined ? from : `${kind}${resolve(contextDir, path)}`;
  if (!hostBases && driver.readsHost) await assertInContext(from, path, contextDir);
  const fetcher = driver.open({ cacheDir: join(cacheDir, driver.name) });
  const { digest, pinned } = await fetcher.resolve(ref, signal);
  return {
    digest,
    async fetch(dir, { signal: stop, onNote, makePart }) {
      const rootfs = join(dir, 'rootfs');
      await mkdir(rootfs, { mode: 0o755 });
      const progress = new Progress(onNote);
      const base = await fetcher.fetch(pinned, rootfs, {
        signal: stop,
        onProgress: (now) => progress.at(now.doneBytes, now.totalBytes),
      });
      if (base.layout === 'home') await asHome(dir, makePart);
      const { layout, env, prefixPath } = base;
      return { layout, env, ...(prefixPath === undefined ? {} : { prefixPath }) };
    },
  };
}

/** Of a host that builds for others, nothing but what they sent is theirs. */
async function assertInContext(
  from: string,
  path: string | undefined,
  contextDir: string,
): Promise<void> {
  if (path !== undefined) {
    const root = await realpath(contextDir);
    // A tag may follow the directory of an image layout.
    const file = from.startsWith('oci:') ? path.replace(/(?:@sha256)?:[^/]*$/, '') : path;
    const real = await realpath(resolve(contextDir, file)).catch(() => undefined);
    if (real !== undefined && (real === root || real.startsWith(`${root}/`))) return;
  }
  throw new FetchError(
    'refused',
    'a build on another host takes bases from registries, images of that host, and ./ of what it was sent',
  );
}

/** An image of a home and a prefix, of a root file system, or of a virtual machine. */
async function imageBase(images: LocalImages, name: string): Promise<ResolvedBase> {
  const digest = await images.resolve(name);
  const path = images.dataPath(digest);
  const { kind } = await images.manifest(digest);
  if (kind === 'file' || vmDriverOf(await readdir(path)) !== undefined) {
    return { digest, fetch: (dir, { signal }) => asMachine(path, dir, signal) };
  }
  return {
    digest,
    async fetch(dir, { signal, makePart }) {
      const rootfs = join(dir, 'rootfs');
      await mkdir(rootfs, { mode: 0o755 });
      await copyTree(path, rootfs, { reflink: false, signal });
      const layout = await layoutOf(rootfs);
      if (layout === 'home') await asHome(dir, makePart);
      return { layout, env: {} };
    },
  };
}

/** What came as a root file system is a home and a prefix. */
async function asHome(dir: string, makePart: BaseOptions['makePart']): Promise<void> {
  for (const part of ['home', 'prefix']) {
    const from = join(dir, 'rootfs', part);
    const to = await makePart(part);
    if ((await stat(from)).dev === (await stat(to)).dev) await rename(from, to);
    else await copyTree(from, to, { reflink: false });
  }
  await removeTree(join(dir, 'rootfs'));
}

/** A line for each tenth of what is fetched. */
class Progress {
  readonly #note: (text: string) => void | Promise<void>;
  #told = 0;

  constructor(note: (text: string) => void | Promise<void>) {
    this.#note = note;
  }

  at(done: number, total: number | undefined): void {
    if (total === undefined || total === 0) return;
    const tenths = Math.floor((done / total) * 10);
    if (tenths <= this.#told) return;
    this.#told = tenths;
    void this.#note(`${tenths * 10} % of ${size(total)}`);
  }
}
