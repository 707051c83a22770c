import { createWriteStream } from 'node:fs';
import { chmod, lchown, link, lstat, lutimes, mkdir, readdir, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ReadEntry } from 'tar';
import { isMissing } from '../../../platform/atomic-file.ts';
import { InsidePathError, resolveInside } from '../../../platform/inside-path.ts';
import { removeTree } from '../../../platform/tree.ts';
import { FetchError } from '../fetch.ts';

/**
 * Makes what entries of a tar file say, below a root: with owners (as root), modes and times, and no
 * path leads out of the root, whatever links are in it. Devices and pipes are left out. Throws
 * `FetchError`.
 */
export class TreeWriter {
  readonly #root: string;
  readonly #asRoot = process.getuid?.() === 0;
  /** Directories whose modes and times are set last: a read-only one could not be filled. */
  readonly #directories = new Map<string, ReadEntry>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Removes what is at that path, or all that is in that directory. */
  async remove(path: string, what: 'itself' | 'what is in it'): Promise<void> {
    const dir = await this.#place(what === 'itself' ? dirname(path) : path);
    if (dir === undefined) return;
    if (what === 'itself') return removeTree(join(dir, basename(path)));
    const names = await readdir(dir).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      return [];
    });
    for (const each of names) await removeTree(join(dir, each));
  }

  async write(entry: ReadEntry): Promise<void> {
    const path = join('/', entry.path);
    if (path === '/') {
      this.#directories.set(this.#root, entry);
      entry.resume();
      return;
    }
    const dir = await this.#directory(dirname(path));
    const at = join(dir, basename(path));
    switch (entry.type) {
      case 'Directory':
      case 'GNUDumpDir':
        return this.#writeDirectory(at, entry);
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        return this.#writeFile(at, entry);
      case 'SymbolicLink':
        await clear(at);
        await symlink(entry.linkpath ?? '', at);
        return this.#like(at, entry, true);
      case 'Link': {
        const target = join('/', entry.linkpath ?? '');
        const from = join(await this.#directory(dirname(target)), basename(target));
        if (from === at) return;
        await clear(at);
        return link(from, at);
      }
      default:
        // Devices and pipes: a build has those that its sandbox gives it.
        entry.resume();
    }
  }

  async finish(): Promise<void> {
    for (const [path, entry] of [...this.#directories].toReversed()) {
      const there = await lstat(path).catch(() => undefined);
      if (there?.isDirectory() === true) await this.#like(path, entry, false);
    }
  }

  async #writeDirectory(at: string, entry: ReadEntry): Promise<void> {
    entry.resume();
    const there = await lstat(at).catch(() => undefined);
    // What a link leads to inside is the directory that is meant.
    if (there?.isSymbolicLink() === true) {
      const led = await this.#place(join('/', entry.path));
      if (led !== undefined && (await lstat(led).catch(() => undefined))?.isDirectory() === true) {
        return;
      }
    }
    if (there?.isDirectory() !== true) {
      await clear(at);
      await mkdir(at, { mode: 0o700 });
    }
    this.#directories.set(at, entry);
  }

  async #writeFile(at: string, entry: ReadEntry): Promise<void> {
    await clear(at);
    await pipeline(entry, createWriteStream(at, { flags: 'wx', mode: 0o600 }));
    await this.#like(at, entry, false);
  }

  /** Owner before mode: changing the owner clears the set-user-id bit. */
  async #like(at: string, entry: ReadEntry, isLink: boolean): Promise<void> {
    if (this.#asRoot) await lchown(at, entry.uid ?? 0, entry.gid ?? 0);
    if (!isLink) await chmod(at, (entry.mode ?? 0o755) & 0o7777);
    const time = entry.mtime ?? new Date(0);
    await lutimes(at, time, time);
  }

  /** The directory that a path means inside, made where it is missing. */
  async #directory(path: string): Promise<string> {
    const place = await this.#place(path);
    if (place === undefined) throw new FetchError('refused', `${path} leads out of the image`);
    await mkdir(place, { recursive: true, mode: 0o755 });
    return place;
  }

  async #place(path: string): Promise<string | undefined> {
    try {
      const inside = await resolveInside([{ inside: '/', dir: this.#root }], join('/', path));
      return join(this.#root, inside);
    } catch (error) {
      if (error instanceof InsidePathError) return undefined;
      throw error;
    }
  }
}

async function clear(path: string): Promise<void> {
  try {
    await lstat(path);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await removeTree(path);
}
