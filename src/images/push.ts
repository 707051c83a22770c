import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, writeFileAtomic } from '../platform/atomic-file.ts';
import { limiter } from '../platform/limiter.ts';
import { namesIn } from '../platform/names-in.ts';
import { removeTree } from '../platform/tree.ts';
import { ChunkTable } from './chunk-table.ts';
import { bytesOf, chunksOf, idOf, lengthOf, offsetOf, type FileChunk } from './chunks.ts';
import { ID_BYTES } from './format/chunk.ts';
import { imageSize, type Manifest } from './format/manifest.ts';
import { decodePlacement, encodePlacement, type Placement } from './format/placement.ts';
import { packsMarked } from './gc.ts';
import { PushLease } from './leases.ts';
import type { LocalImages } from './local-images.ts';
import { OpenFiles } from './open-files.ts';
import { below } from './paths.ts';
import type { WorkOptions } from './progress.ts';
import { ImageError, imageNameText, type ImageName } from './reference.ts';
import { isMissingBlob, packKey, type RemoteTag, type Repository } from './repository.ts';
import { SecretsError, secretsInImage } from './secrets/secrets-in-image.ts';
import type { Threads } from './work/threads.ts';

/** Stored bytes that go into one object. */
const PACK_BYTES = 16 * 2 ** 20;
/** Chunks compressed by one task. */
const TASK_CHUNKS = 16;
/** Packs sent at once; each is in memory. */
const UPLOADS = 3;
/** Images whose chunks are looked up: those of the same name first, then the newest. */
const KNOWN_IMAGES = 32;
/** Times that what a push sent is written down, when others remove the place for it. */
const ADD_TRIES = 5;

export interface Pushed {
  readonly digest: string;
  /** Stored bytes and packs that were sent. */
  readonly sentBytes: number;
  readonly packs: number;
  /** Bytes of files whose chunks the remote had already, or that are zeros. */
  readonly reusedBytes: number;
}

export interface PushOptions extends WorkOptions {
  /** Findings, by their ids, that are no secrets after all. */
  readonly allow?: ReadonlySet<string>;
}

/**
 * Sends an image to a remote, once no secret was found in it: only chunks that no image there has, in packs, then what it is, then
 * its name. Until the name is written the remote shows the old state. A push that was interrupted
 * goes on with the packs it had sent. Throws `ImageError`, `BlobError`; `SecretsError` before anything
 * is sent.
 */
export async function pushImage(
  images: LocalImages,
  threads: Threads,
  digest: string,
  repository: Repository,
  name: ImageName,
  options: PushOptions = {},
): Promise<Pushed> {
  const { signal, allow } = options;
  const found = await secretsInImage(images, threads, digest, options);
  const refused = found.filter(({ id }) => allow?.has(id) !== true);
  if (refused.length > 0) throw new SecretsError(refused);
  const lease = await PushLease.take(repository.blobs, imageNameText(name), signal);
  try {
    const manifest = await images.manifest(digest);
    const journal = new Journal(images, repository, digest);
    const known = await knownChunks(repository, journal, name, signal);
    const push = new Push(images.dataPath(digest), threads, repository, journal, known, options);
    const sent = await push.send(manifest);
    const placement = push.placementOf(manifest);
    const image = await repository.putImage(manifest, placement, signal);
    if (!(await lease.isHeld(signal))) {
      throw new ImageError('this push took too long between two steps; push again, it goes on');
    }
    const tag: RemoteTag = {
      ...name,
      digest,
      image,
      size: imageSize(manifest),
      pushedAt: new Date().toISOString(),
    };
    await repository.putTag(tag, signal);
    await journal.remove();
    return { digest, ...sent };
  } finally {
    await lease.release().catch(() => undefined);
  }
}

/** Chunks that the remote has and that gc will not remove while this push is alive. */
async function knownChunks(
  repository: Repository,
  journal: Journal,
  name: ImageName,
  signal: AbortSignal | undefined,
): Promise<Known> {
  const marked = await packsMarked(repository, signal);
  const known = new Known(marked);
  const tags = await repository.tags(signal);
  const ordered = [
    ...tags.filter((tag) => tag.name === name.name),
    ...tags.filter((tag) => tag.name !== name.name),
  ];
  for (const tag of ordered.slice(0, KNOWN_IMAGES)) {
    try {
      known.add(await repository.placement(tag, signal));
    } catch (error) {
      // Its tag was removed meanwhile, and gc was faster.
      if (!isMissingBlob(error)) throw error;
    }
  }
  const journalled = await journal.placements();
  if (journalled.length > 0) {
    const there = new Set<string>();
    for await (const { key } of repository.blobs.list('packs/', signal)) there.add(key);
    for (const placement of journalled) {
      if (placement.packs.every((pack) => there.has(packKey(pack)))) known.add(placement);
    }
  }
  return known;
}

/** Chunks with their places in packs of the remote. */
class Known {
  readonly packs: string[] = [];
  readonly chunks = new ChunkTable();
  readonly #numbers = new Map<string, number>();
  readonly #marked: ReadonlySet<string>;

  constructor(marked: ReadonlySet<string>) {
    this.#marked = marked;
  }

  add({ packs, chunks }: Placement): void {
    const numbers = packs.map((pack) => (this.#marked.has(pack) ? undefined : this.number(pack)));
    for (const [id, [pack, offset, stored]] of chunks) {
      const number = numbers[pack];
      if (number !== undefined) this.chunks.add(id, 0, [number, offset, stored]);
    }
  }

  number(pack: string): number {
    const known = this.#numbers.get(pack);
    if (known !== undefined) return known;
    this.packs.push(pack);
    this.#numbers.set(pack, this.packs.length - 1);
    return this.packs.length - 1;
  }
}

/** Packs that an interrupted push of this image to this remote had sent. */
class Journal {
  readonly #dir: string;

  constructor(images: LocalImages, repository: Repository, digest: string) {
    const key = createHash('sha256').update(`${repository.blobs.location}\0${digest}`);
    this.#dir = join(images.dir, 'pushes', key.digest('hex').slice(0, 32));
  }

  async placements(): Promise<Placement[]> {
    const placements: Placement[] = [];
    for (const file of await namesIn(this.#dir)) {
      if (!/^[0-9a-f]{32}$/.test(file)) continue;
      try {
        placements.push(decodePlacement(await readFile(join(this.#dir, file))));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return placements;
  }

  /** Another push of the same image to the same remote may have ended, and removed it all. */
  async add(pack: string, chunks: ChunkTable): Promise<void> {
    const content = encodePlacement({ packs: [pack], chunks });
    for (let tries = 1; ; tries += 1) {
      await mkdir(this.#dir, { recursive: true });
      try {
        return await writeFileAtomic(join(this.#dir, pack), content);
      } catch (error) {
        if (tries >= ADD_TRIES || !isMissing(error)) throw error;
      }
    }
  }

  async remove(): Promise<void> {
    try {
      await removeTree(this.#dir);
    } catch (error) {
      // Another push writes to it at this moment; it is the other's to remove.
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    }
  }
}

class Push {
  readonly #root: string;
  readonly #threads: Threads;
  readonly #repository: Repository;
  readonly #journal: Journal;
  readonly #known: Known;
  readonly #options: WorkOptions;
  readonly #files = new OpenFiles('r');
  readonly #upload = limiter(UPLOADS);
  readonly #uploads = new Set<Promise<void>>();
  #pack = new PackBuilder();
  #failure: { readonly error: unknown } | undefined;
  #sentBytes = 0;
  #packs = 0;
  #doneBytes = 0;
  #totalBytes = 0;

  constructor(
    root: string,
    threads: Threads,
    repository: Repository,
    journal: Journal,
    known: Known,
    options: WorkOptions,
  ) {
    this.#root = root;
    this.#threads = threads;
    this.#repository = repository;
    this.#journal = journal;
    this.#known = known;
    this.#options = options;
  }

  async send(manifest: Manifest): Promise<Omit<Pushed, 'digest'>> {
    const wanted = this.#wanted(manifest);
    this.#totalBytes = bytesOf(wanted);
    this.#report();
    try {
      await this.#compressAll(wanted);
      this.#finishPack();
      while (this.#uploads.size > 0) await Promise.all(this.#uploads);
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      await Promise.allSettled(this.#uploads);
      await this.#files.close();
    }
    const reusedBytes = imageSize(manifest) - this.#totalBytes;
    return { sentBytes: this.#sentBytes, packs: this.#packs, reusedBytes };
  }

  /** Where all chunks of the image are now, and only those. */
  placementOf(manifest: Manifest): Placement {
    const packs = new Map<number, number>();
    const chunks = new ChunkTable();
    for (const { entry, index } of chunksOf(manifest)) {
      const at = index * ID_BYTES;
      const place = this.#known.chunks.get(entry.ids, at);
      if (place === undefined) throw new Error('a chunk was neither known nor sent');
      const [pack, offset, stored] = place;
      const number = packs.get(pack) ?? packs.size;
      packs.set(pack, number);
      chunks.add(entry.ids, at, [number, offset, stored]);
    }
    return { packs: [...packs.keys()].map((pack) => this.#known.packs[pack] ?? ''), chunks };
  }

  /** Each chunk once that the remote does not have. */
  #wanted(manifest: Manifest): FileChunk[] {
    const seen = new ChunkTable();
    const wanted: FileChunk[] = [];
    for (const chunk of chunksOf(manifest)) {
      const at = chunk.index * ID_BYTES;
      if (this.#known.chunks.has(chunk.entry.ids, at)) continue;
      if (seen.add(chunk.entry.ids, at, [0, 0, 0])) wanted.push(chunk);
    }
    return wanted;
  }

  async #compressAll(wanted: readonly FileChunk[]): Promise<void> {
    const limit = limiter(this.#threads.width);
    const tasks = tasksOf(wanted).map((task) =>
      limit(async () => {
        if (this.#failure !== undefined) return;
        try {
          // What is compressed waits in memory until it is sent: go no faster than the remote.
          while (this.#uploads.size >= UPLOADS) await Promise.race(this.#uploads);
          await this.#compress(task);
        } catch (error) {
          this.#failure ??= { error };
        }
      }),
    );
    await Promise.all(tasks);
  }

  async #compress(task: readonly FileChunk[]): Promise<void> {
    this.#options.signal?.throwIfAborted();
    const [{ entry } = task[0] as FileChunk] = task;
    const ids = Buffer.concat(task.map(idOf));
    const chunks = task.map((chunk) => ({
      offset: offsetOf(chunk),
      length: lengthOf(chunk),
    }));
    const path = below(this.#root, entry.path);
    const { data, lengths, altered } = await this.#files.use(path, (fd) =>
      this.#threads.run('compress', { fd, chunks, ids }),
    );
    if (altered !== undefined) {
      throw new ImageError(
        `${path.toString()} is not what was imported any more (at byte ${chunks[altered]?.offset ?? 0}); import the image again`,
      );
    }
    let at = 0;
    for (const [index, stored] of lengths.entries()) {
      const bytes = data.subarray(at, at + stored);
      at += stored;
      const offset = this.#pack.add(ids.subarray(index * ID_BYTES, (index + 1) * ID_BYTES), bytes);
      const pack = this.#known.number(this.#pack.name);
      this.#known.chunks.add(ids, index * ID_BYTES, [pack, offset, stored]);
      this.#doneBytes += chunks[index]?.length ?? 0;
    }
    if (this.#pack.bytes >= PACK_BYTES) this.#finishPack();
    this.#report();
  }

  #finishPack(): void {
    const pack = this.#pack;
    if (pack.bytes === 0) return;
    this.#pack = new PackBuilder();
    const sending = this.#upload(async () => {
      await this.#repository.blobs.put(packKey(pack.name), pack.build(), this.#options.signal);
      await this.#journal.add(pack.name, pack.chunks);
      this.#sentBytes += pack.bytes;
      this.#packs += 1;
    })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#uploads.delete(sending));
    this.#uploads.add(sending);
  }

  #report(): void {
    const [doneBytes, totalBytes] = [this.#doneBytes, this.#totalBytes];
    this.#options.progress?.({ phase: 'upload', doneBytes, totalBytes });
  }
}

/** Stored chunks on their way into one object. */
class PackBuilder {
  readonly name = randomBytes(16).toString('hex');
  readonly chunks = new ChunkTable();
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the offset in the pack. */
  add(id: Uint8Array, stored: Uint8Array): number {
    const offset = this.#bytes;
    this.#parts.push(stored);
    this.#bytes += stored.length;
    this.chunks.add(id, 0, [0, offset, stored.length]);
    return offset;
  }

  /** Once: what it was put together from is let go, which would be as much again in memory. */
  build(): Buffer {
    return Buffer.concat(this.#parts.splice(0));
  }
}

/** Chunks of one file together, at most `TASK_CHUNKS`. */
function tasksOf(wanted: readonly FileChunk[]): FileChunk[][] {
  const tasks: FileChunk[][] = [];
  for (const chunk of wanted) {
    const last = tasks.at(-1);
    if (last?.[0]?.entry === chunk.entry && last.length < TASK_CHUNKS) last.push(chunk);
    else tasks.push([chunk]);
  }
  return tasks;
}
