import { constants, type BigIntStats } from 'node:fs';
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  symlink,
  truncate,
  utimes,
} from 'node:fs/promises';
import { join } from 'node:path';
import { limiter } from '../platform/limiter.ts';
import { removeTree } from '../platform/tree.ts';
import { CHUNK_BYTES, chunkCount, ID_BYTES } from './format/chunk.ts';
import type { Entry, FileEntry, Manifest } from './format/manifest.ts';
import type { LocalImages } from './local-images.ts';
import { below, child } from './paths.ts';
import type { WorkOptions } from './progress.ts';
import { ImageError, type ImageName } from './reference.ts';
import type { Threads } from './work/threads.ts';

/** Bytes that one task reads. */
const TASK_BYTES = 16 * CHUNK_BYTES;
/** Files worked on at once. */
const FILES = 32;

/**
 * Takes in a file (a disk) or a directory (a VM bundle, a tree) as an image, and gives it a name.
 * The source is not changed; where the file system can, its blocks are shared. Throws `ImageError`.
 */
export async function importImage(
  images: LocalImages,
  threads: Threads,
  name: ImageName,
  from: string,
  options: WorkOptions = {},
): Promise<{ digest: string; manifest: Manifest }> {
  const stats = await lookAt(from);
  const dir = await images.newDir();
  try {
    const importer = new Importer(threads, Buffer.from(from), join(dir, 'data'), options);
    const manifest = stats.isDirectory() ? await importer.tree() : await importer.file(stats);
    const digest = await images.adopt(dir, manifest);
    await images.setTag(name, digest);
    return { digest, manifest };
  } catch (error) {
    await removeTree(dir);
    throw error;
  }
}

async function lookAt(from: string): Promise<BigIntStats> {
  let stats: BigIntStats;
  try {
    stats = await lstat(from, { bigint: true });
  } catch (cause) {
    throw new ImageError(`${from} cannot be read; expected a file or a directory`, { cause });
  }
  if (stats.isFile() || stats.isDirectory()) return stats;
  throw new ImageError(`${from} is neither a file nor a directory`);
}

class Importer {
  readonly #threads: Threads;
  readonly #from: Buffer;
  readonly #to: string;
  readonly #options: WorkOptions;
  readonly #limit = limiter(FILES);
  readonly #linked = new Map<string, Buffer>();
  #doneBytes = 0;
  #totalBytes = 0;

  constructor(threads: Threads, from: Buffer, to: string, options: WorkOptions) {
    this.#threads = threads;
    this.#from = from;
    this.#to = to;
    this.#options = options;
  }

  async file(stats: BigIntStats): Promise<Manifest> {
    this.#totalBytes = Number(stats.size);
    const entry = await this.#file(Buffer.alloc(0), stats);
    return { kind: 'file', entries: [{ ...entry, mode: 0o644, mtimeMs: 0 }] };
  }

  async tree(): Promise<Manifest> {
    const found = await this.#walk();
    await mkdir(this.#to, { mode: 0o700 });
    const files: Promise<Entry>[] = [];
    const others: Entry[] = [];
    for (const { path, stats } of found) {
      this.#options.signal?.throwIfAborted();
      if (stats.isFile()) {
        const first = this.#firstName(path, stats);
        if (first === undefined) files.push(this.#limit(() => this.#file(path, stats)));
        else others.push({ type: 'hard-link', path, target: first });
      } else if (stats.isSymbolicLink()) {
        const target = await readlink(below(this.#from, path), { encoding: 'buffer' });
        await symlink(target, below(this.#to, path));
        others.push({ type: 'symlink', path, target });
      } else {
        await mkdir(below(this.#to, path), { mode: 0o700 });
        others.push({ type: 'directory', path, ...modeAndTime(stats) });
      }
    }
    const results = await Promise.allSettled(files);
    const entries = results.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
    const all = [...entries, ...others].toSorted((a, b) => a.path.compare(b.path));
    for (const entry of all) {
      if (entry.type === 'hard-link') {
        await link(below(this.#to, entry.target), below(this.#to, entry.path));
      }
    }
    // Last, and the deepest first: filling a directory changes its time.
    for (const entry of all.toReversed()) {
      if (entry.type === 'directory') await this.#like(entry.path, entry);
    }
    return { kind: 'tree', entries: all };
  }

  /** Everything below the root, sorted; what is no file, directory or link is left out. */
  async #walk(): Promise<{ path: Buffer; stats: BigIntStats }[]> {
    const found: { path: Buffer; stats: BigIntStats }[] = [];
    const visit = async (dir: Buffer): Promise<void> => {
      for (const name of await readdir(below(this.#from, dir), { encoding: 'buffer' })) {
        const path = child(dir, name);
        const stats = await lstat(below(this.#from, path), { bigint: true });
        if (stats.isDirectory()) {
          found.push({ path, stats });
          await visit(path);
        } else if (stats.isFile() || stats.isSymbolicLink()) {
          found.push({ path, stats });
          if (stats.isFile()) this.#totalBytes += Number(stats.size);
        }
      }
    };
    await visit(Buffer.alloc(0));
    return found.toSorted((a, b) => a.path.compare(b.path));
  }

  #firstName(path: Buffer, stats: BigIntStats): Buffer | undefined {
    if (stats.nlink === 1n) return undefined;
    const key = `${stats.dev}:${stats.ino}`;
    const first = this.#linked.get(key);
    if (first === undefined) this.#linked.set(key, path);
    return first;
  }

  async #file(path: Buffer, before: BigIntStats): Promise<FileEntry> {
    const [from, to] = [below(this.#from, path), below(this.#to, path)];
    const size = Number(before.size);
    const isClone = await reflink(from, to);
    const source = await open(isClone ? to : from, 'r');
    const target = isClone ? undefined : await open(to, 'wx', 0o600);
    const ids = Buffer.alloc(chunkCount(size) * ID_BYTES);
    try {
      // Holes stay holes: only chunks that are not zero are written.
      await target?.truncate(size);
      const copyTo = target === undefined ? {} : { copyTo: target.fd };
      await this.#parts(size, async (offset, length) => {
        const part = await this.#threads.run('scan', { fd: source.fd, offset, length, ...copyTo });
        ids.set(part, (offset / CHUNK_BYTES) * ID_BYTES);
      });
      await target?.datasync();
    } finally {
      await source.close();
      await target?.close();
    }
    if (isClone) await truncate(to, size);
    const after = await lstat(from, { bigint: true });
    if (after.mtimeNs !== before.mtimeNs || after.size !== before.size) {
      throw new ImageError(`${from.toString()} changed while it was read; stop what writes to it`);
    }
    const entry = { type: 'file', path, ...modeAndTime(before), size, ids } as const;
    await this.#like(path, entry);
    return entry;
  }

  /** Calls `work` for the parts of a file, as many at a time as the threads can use. */
  async #parts(
    size: number,
    work: (offset: number, length: number) => Promise<void>,
  ): Promise<void> {
    const limit = limiter(this.#threads.width);
    const parts: Promise<void>[] = [];
    for (let offset = 0; offset < size; offset += TASK_BYTES) {
      const length = Math.min(TASK_BYTES, size - offset);
      parts.push(
        limit(async () => {
          this.#options.signal?.throwIfAborted();
          await work(offset, length);
          this.#doneBytes += length;
          const [doneBytes, totalBytes] = [this.#doneBytes, this.#totalBytes];
          this.#options.progress?.({ phase: 'scan', doneBytes, totalBytes });
        }),
      );
    }
    for (const result of await Promise.allSettled(parts)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  async #like(path: Buffer, { mode, mtimeMs }: { mode: number; mtimeMs: number }): Promise<void> {
    const place = below(this.#to, path);
    await chmod(place, mode);
    await utimes(place, mtimeMs / 1000, mtimeMs / 1000);
  }
}

/** True when `to` now shares the blocks of `from`; false where the file system cannot. */
async function reflink(from: Buffer, to: Buffer): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'ENOSYS', 'EINVAL', 'ENOTTY'].includes(code)) {
      return false;
    }
    throw error;
  }
}

function modeAndTime(stats: BigIntStats): { mode: number; mtimeMs: number } {
  return { mode: Number(stats.mode & 0o7777n), mtimeMs: Number(stats.mtimeNs / 1_000_000n) };
}
