import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  lstatSync,
  utimesSync,
  type Stats,
} from 'node:fs';
import { copyFile, link, lstat, lutimes, mkdir, rm, symlink } from 'node:fs/promises';
import { dirname, posix } from 'node:path';
import { isMissing } from '../../platform/atomic-file.ts';
import {
  hostPath,
  InsidePathError,
  resolveInside,
  type Shown,
} from '../../platform/inside-path.ts';
import { limiter } from '../../platform/limiter.ts';
import { SMALL_BYTES } from '../../platform/tree.ts';
import { Turns } from '../../platform/turns.ts';
import { BuildError } from '../build-error.ts';
import { hashFile, type ManifestEntry } from './manifest.ts';

export interface CopyRequest {
  /** Directory that the manifest's paths are relative to. */
  readonly root: string;
  readonly entries: readonly ManifestEntry[];
  /** Absolute, as the inside sees it; ending in `/`: each entry goes into it. */
  readonly dst: string;
  /** What the inside is. */
  readonly shown: readonly Shown[];
  /** Who owns what is made; undefined: whoever runs this. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly signal: AbortSignal;
}

/** Files copied at a time. */
const CONCURRENCY = 16;
/** Of a file changed so lately that a second change could have the same time, the content counts. */
const LATELY_MS = 2_000;
const COPYING = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;
const SLASH = Buffer.from('/');

/**
 * Copies what a manifest lists to a place inside a build, with modes, links and times, and only
 * what it lists. Throws `BuildError` `source_changed` for what is not as it was hashed, and
 * `bad_target` for a place that cannot be written to.
 */
export async function copyInto(request: CopyRequest): Promise<void> {
  const copier = new Copier(request);
  for (const entry of request.entries) {
    const name = request.dst.endsWith('/') ? posix.basename(entry.path.toString()) : '';
    await copier.copy(entry, posix.join(request.dst, name));
  }
}

/** A place to copy to: on the host, and as the inside sees it if its name is text. */
interface Place {
  readonly host: Buffer;
  readonly inside: string;
}

class Copier {
  readonly #request: CopyRequest;
  readonly #root: Buffer;
  readonly #limit = limiter(CONCURRENCY);
  readonly #turns = new Turns();
  readonly #begun = Date.now();
  /** Copies of files with several names, by device and inode. */
  readonly #linked = new Map<string, Promise<Buffer>>();

  constructor(request: CopyRequest) {
    this.#request = request;
    this.#root = Buffer.from(request.root);
  }

  async copy(entry: ManifestEntry, target: string): Promise<void> {
    const { shown } = this.#request;
    const path = target.replace(/\/+$/, '') || '/';
    try {
      // The last name is not followed, unless a directory is to be filled.
      const above = path === '/' ? path : await resolveInside(shown, dirname(path));
      const inside = path === '/' ? path : posix.join(above, posix.basename(path));
      await this.#makeDirectory(above);
      await this.#entry(entry, this.#place(inside));
    } catch (error) {
      if (!(error instanceof InsidePathError)) throw error;
      throw badTarget(target, error.message, error);
    }
  }

  #place(inside: string): Place {
    const host = hostPath(this.#request.shown, inside);
    if (host === undefined) throw badTarget(inside, 'it is outside of what a build may write to');
    return { host: Buffer.from(host), inside };
  }

  /** Makes a directory and those above it; `inside` has no links in it. */
  async #makeDirectory(inside: string): Promise<void> {
    const { host } = this.#place(inside);
    const there = await statOf(host);
    if (there?.isDirectory() === true) return;
    if (there !== undefined) throw badTarget(inside, 'there is a file of that name');
    await this.#makeDirectory(dirname(inside));
    await mkdir(host, { mode: 0o755 });
    this.#own(host);
  }

  async #entry(entry: ManifestEntry, place: Place): Promise<void> {
    this.#request.signal.throwIfAborted();
    switch (entry.kind) {
      case 'directory':
        return this.#directory(entry, place);
      case 'link':
        return this.#limit(() => this.#link(entry, place));
      case 'file':
        return this.#file(entry, place);
    }
  }

  async #directory(entry: ManifestEntry & { kind: 'directory' }, place: Place): Promise<void> {
    const { host, inside } = await this.#limit(() => this.#directoryAt(place));
    const copies = await Promise.allSettled(
      entry.entries.map((below) => {
        const name = below.path.subarray(below.path.lastIndexOf(SLASH) + 1);
        const at = Buffer.concat([host, SLASH, name]);
        return this.#entry(below, { host: at, inside: posix.join(inside, name.toString()) });
      }),
    );
    for (const copy of copies) if (copy.status === 'rejected') throw copy.reason;
    this.#like(host, entry.stats);
  }

  /** An existing directory is filled, also where a link leads to one inside. */
  async #directoryAt(place: Place): Promise<Place> {
    const there = await statOf(place.host);
    if (there === undefined) await mkdir(place.host, { mode: 0o700 });
    else if (there.isSymbolicLink()) {
      const led = this.#place(await resolveInside(this.#request.shown, place.inside));
      if ((await statOf(led.host))?.isDirectory() === true) return led;
      throw badTarget(place.inside, 'a directory should be there, and is a link to none');
    } else if (!there.isDirectory()) {
      throw badTarget(place.inside, 'a directory should be there, and is a file');
    }
    return place;
  }

  async #link(entry: ManifestEntry & { kind: 'link' }, place: Place): Promise<void> {
    await this.#clear(place);
    await symlink(entry.target, place.host);
    this.#own(place.host);
    await lutimes(place.host, entry.stats.atime, entry.stats.mtime);
  }

  async #file(entry: ManifestEntry & { kind: 'file' }, place: Place): Promise<void> {
    if (entry.stats.nlink === 1) return this.#limit(() => this.#copyFile(entry, place));
    const key = `${entry.stats.dev}:${entry.stats.ino}`;
    const first = this.#linked.get(key);
    if (first !== undefined) {
      const other = await first;
      return this.#limit(async () => {
        await this.#clear(place);
        await link(other, place.host);
      });
    }
    const copy = this.#limit(() => this.#copyFile(entry, place)).then(() => place.host);
    this.#linked.set(key, copy);
    await copy;
  }

  async #copyFile(entry: ManifestEntry & { kind: 'file' }, place: Place): Promise<void> {
    const { stats } = entry;
    const source = Buffer.concat([this.#root, SLASH, entry.path]);
    await this.#turns.next();
    await this.#clear(place);
    try {
      // As when trees are copied: for small files another thread would take longer.
      if (stats.size <= SMALL_BYTES) copyFileSync(source, place.host, COPYING);
      else await copyFile(source, place.host, COPYING);
    } catch (error) {
      if (isMissing(error)) throw changed(entry.path, error);
      throw error;
    }
    const after = lstatSync(source, { throwIfNoEntry: false });
    if (after === undefined || !sameFile(stats, after)) throw changed(entry.path);
    if (this.#begun - after.mtimeMs < LATELY_MS) {
      const sha256 = await hashFile(place.host, stats.size, this.#request.signal);
      if (sha256 !== entry.sha256) throw changed(entry.path);
    }
    this.#like(place.host, stats);
  }

  /** Takes away what is in the way of a file or link: never what a link leads to. */
  async #clear({ host, inside }: Place): Promise<void> {
    const there = lstatSync(host, { throwIfNoEntry: false });
    if (there === undefined) return;
    if (there.isDirectory()) throw badTarget(inside, 'a directory is there');
    await rm(host);
  }

  /** Owner before mode: changing the owner clears the set-user-id bit. */
  #like(host: Buffer, stats: Stats): void {
    this.#own(host);
    chmodSync(host, stats.mode & 0o7777);
    utimesSync(host, stats.atime, stats.mtime);
  }

  #own(host: Buffer): void {
    const { owner } = this.#request;
    if (owner !== undefined) lchownSync(host, owner.uid, owner.gid);
  }
}

async function statOf(path: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether a file was left alone between two looks. */
function sameFile(before: Stats, after: Stats): boolean {
  return (
    before.ino === after.ino &&
    before.size === after.size &&
    before.mtimeMs === after.mtimeMs &&
    before.ctimeMs === after.ctimeMs
  );
}

function changed(path: Buffer, cause?: unknown): BuildError {
  return new BuildError(
    'source_changed',
    `${path.toString()} changed while it was copied; build again when nothing writes there`,
    { cause },
  );
}

function badTarget(inside: string, why: string, cause?: unknown): BuildError {
  return new BuildError('bad_target', `cannot copy to ${inside}: ${why}`, { cause });
}
