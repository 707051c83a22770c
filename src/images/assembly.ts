import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  rm,
  symlink,
  truncate,
  utimes,
} from 'node:fs/promises';
import { isMissing } from '../platform/atomic-file.ts';
import { inParts } from './parts.ts';
import { ID_BYTES, isZeroId } from './format/chunk.ts';
import type { FileEntry, Manifest } from './format/manifest.ts';
import { idOf, lengthOf, offsetOf, type FileChunk } from './chunks.ts';
import { OpenFiles } from './open-files.ts';
import { below } from './paths.ts';
import { hasEqualAt, isAsKnown, type SeedChunks, type Seeds } from './seeds.ts';
import type { Threads } from './work/threads.ts';

/** Chunks that one task works on. */
const TASK_CHUNKS = 16;

/** The files of an image on their way to be what its manifest says, in a directory of their own. */
export class Assembly {
  readonly #root: string;
  readonly #manifest: Manifest;
  readonly #threads: Threads;
  readonly #signal: AbortSignal | undefined;
  readonly #targets = new OpenFiles('r+');
  readonly #sources = new OpenFiles('r');

  constructor(root: string, manifest: Manifest, threads: Threads, signal: AbortSignal | undefined) {
    this.#root = root;
    this.#manifest = manifest;
    this.#threads = threads;
    this.#signal = signal;
  }

  /**
   * Makes every file and directory, or goes on with those that an earlier try left, and returns
   * which chunks are not in their places.
   */
  async begin(seeds: Seeds): Promise<FileChunk[]> {
    await this.#makeDirectories();
    const missing: FileChunk[] = [];
    for (const entry of this.#files()) {
      this.#signal?.throwIfAborted();
      const right = await this.#beginFile(entry, seeds);
      for (const [index, isRight] of right.entries()) {
        if (isRight === 0) missing.push({ entry, index });
      }
    }
    return missing;
  }

  /**
   * Takes chunks from local files. Returns those that were not there as they should be: they stay
   * missing.
   */
  async copyFrom({ seed, chunks }: SeedChunks): Promise<FileChunk[]> {
    const left: FileChunk[] = [];
    await inParts(chunks, TASK_CHUNKS, this.#threads.width, async (part) => {
      this.#signal?.throwIfAborted();
      const right = await this.#sources.use(seed.path, (from) =>
        this.#writing(
          part.map((chunk) => [chunk.missing]),
          (targets) =>
            this.#threads.run('copy', {
              from,
              ids: Buffer.concat(part.map((chunk) => idOf(chunk.missing))),
              chunks: part.map((chunk, index) => ({
                offset: offsetOf({ ...chunk.missing, index: chunk.from }),
                length: lengthOf(chunk.missing),
                targets: targets[index] ?? [],
              })),
            }),
        ),
      );
      left.push(...part.filter((_, index) => right[index] !== 1).map((chunk) => chunk.missing));
    });
    return left;
  }

  /** Writes zeros where a clone of another image has something else. */
  async clear(missing: readonly FileChunk[]): Promise<void> {
    await inParts(missing, TASK_CHUNKS, this.#threads.width, async (part) => {
      const zeros = new Uint8Array(Math.max(...part.map(lengthOf)));
      const chunks = part.map((chunk) => ({ at: 0, length: lengthOf(chunk), targets: [chunk] }));
      const ids = Buffer.concat(part.map(idOf));
      await this.store(
        zeros,
        chunks.map((chunk) => ({ ...chunk, stored: chunk.length })),
        ids,
      );
    });
  }

  /** Writes chunks from their stored forms. Returns the number of the first damaged one. */
  store(
    data: Uint8Array,
    chunks: readonly {
      readonly at: number;
      readonly stored: number;
      readonly length: number;
      readonly targets: readonly FileChunk[];
    }[],
    ids: Uint8Array,
  ): Promise<number | undefined> {
    return this.#writing(
      chunks.map((chunk) => chunk.targets),
      (targets) =>
        this.#threads.run('store', {
          data,
          ids,
          chunks: chunks.map(({ at, stored, length }, index) => ({
            ...{ at, stored, length },
            targets: targets[index] ?? [],
          })),
        }),
    );
  }

  /** Flushes everything and gives it links, modes and times. Then it is what the manifest says. */
  async finish(): Promise<void> {
    await this.#targets.close();
    for (const entry of this.#manifest.entries) {
      const place = this.#place(entry.path);
      if (entry.type === 'symlink' || entry.type === 'hard-link') {
        await rm(place, { force: true });
        if (entry.type === 'symlink') await symlink(entry.target, place);
        else await link(this.#place(entry.target), place);
      } else if (entry.type === 'file') {
        await flush(place);
        await chmod(place, entry.mode);
        if (this.#manifest.kind === 'tree') await setTime(place, entry.mtimeMs);
      }
    }
    for (const entry of this.#manifest.entries.toReversed()) {
      if (entry.type !== 'directory') continue;
      await chmod(this.#place(entry.path), entry.mode);
      await setTime(this.#place(entry.path), entry.mtimeMs);
    }
  }

  async close(): Promise<void> {
    await this.#targets.close();
    await this.#sources.close();
  }

  *#files(): Generator<FileEntry, void> {
    for (const entry of this.#manifest.entries) if (entry.type === 'file') yield entry;
  }

  async #makeDirectories(): Promise<void> {
    if (this.#manifest.kind === 'tree') await mkdir(this.#root, { recursive: true, mode: 0o700 });
    for (const entry of this.#manifest.entries) {
      if (entry.type !== 'directory') continue;
      await mkdir(this.#place(entry.path), { recursive: true, mode: 0o700 });
      // An earlier try may have given it its own mode already.
      await chmod(this.#place(entry.path), 0o700);
    }
  }

  /** For each chunk 1 when it is right, else 0. */
  async #beginFile(entry: FileEntry, seeds: Seeds): Promise<Uint8Array> {
    const place = this.#place(entry.path);
    if (await isThere(place)) {
      await chmod(place, 0o600);
      await truncate(place, entry.size);
      return this.#check(entry);
    }
    return (await this.#cloneSeed(entry, place, seeds)) ?? (await makeEmpty(entry, place));
  }

  /** Shares the blocks of the local file that is most like it; undefined where that cannot be. */
  async #cloneSeed(entry: FileEntry, place: Buffer, seeds: Seeds): Promise<Uint8Array | undefined> {
    const seed = seeds.mostLike(entry);
    if (seed === undefined) return undefined;
    const isKnown = await isAsKnown(seed);
    try {
      await copyFile(seed.path, place, constants.COPYFILE_FICLONE_FORCE);
    } catch {
      // No sharing here: its chunks are copied one by one instead.
      await rm(place, { force: true });
      return undefined;
    }
    await chmod(place, 0o600);
    await truncate(place, entry.size);
    if (!isKnown) return this.#check(entry);
    return eachChunk(entry, (index) => hasEqualAt(seed.entry, entry, index));
  }

  async #check(entry: FileEntry): Promise<Uint8Array> {
    const right = eachChunk(entry, () => false);
    const indexes = [...right.keys()];
    await inParts(indexes, TASK_CHUNKS, this.#threads.width, async (part) => {
      this.#signal?.throwIfAborted();
      const first = part[0] ?? 0;
      const ids = entry.ids.subarray(first * ID_BYTES, (first + part.length) * ID_BYTES);
      const found = await this.#targets.use(this.#place(entry.path), (fd) =>
        this.#threads.run('check', { fd, size: entry.size, first, ids }),
      );
      right.set(found, first);
    });
    return right;
  }

  /** Calls `work` with the open files and offsets of each list of places. */
  async #writing<T>(
    places: readonly (readonly FileChunk[])[],
    work: (targets: { fd: number; offset: number }[][]) => Promise<T>,
  ): Promise<T> {
    const entries = [...new Set(places.flat().map(({ entry }) => entry))];
    const paths = entries.map((entry) => this.#place(entry.path));
    return this.#targets.useAll(paths, (fds) =>
      work(
        places.map((list) =>
          list.map((place) => ({
            fd: fds[entries.indexOf(place.entry)] ?? -1,
            offset: offsetOf(place),
          })),
        ),
      ),
    );
  }

  #place(path: Buffer): Buffer {
    return below(this.#root, path);
  }
}

/** A new file of zeros, in which chunks that are zeros are right. */
async function makeEmpty(entry: FileEntry, place: Buffer): Promise<Uint8Array> {
  const file = await open(place, 'wx', 0o600);
  await file.truncate(entry.size);
  await file.close();
  return eachChunk(entry, (index) => isZeroId(idOf({ entry, index })));
}

function eachChunk(entry: FileEntry, isRight: (index: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: entry.ids.length / ID_BYTES }, (_, index) =>
    isRight(index) ? 1 : 0,
  );
}

async function flush(place: Buffer): Promise<void> {
  const file = await open(place, 'r+');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}

function setTime(place: Buffer, mtimeMs: number): Promise<void> {
  return utimes(place, mtimeMs / 1000, mtimeMs / 1000);
}

async function isThere(place: Buffer): Promise<boolean> {
  try {
    return (await lstat(place)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
