import { join } from 'node:path';
import { lockDirectory } from '../platform/directory-lock.ts';
import { Assembly } from './assembly.ts';
import { imageSize, type Manifest } from './format/manifest.ts';
import { CHUNK_BYTES, isZeroId } from './format/chunk.ts';
import type { Placement } from './format/placement.ts';
import type { LocalImages } from './local-images.ts';
import { bytesOf, idOf, lengthOf, runsOf, type FileChunk } from './chunks.ts';
import { inParts } from './parts.ts';
import { MOST_CHUNKS, type ChunkSource } from './peers/chunk-source.ts';
import { planFetch, type Fetch } from './plan-fetch.ts';
import type { ImageProgress, WorkOptions } from './progress.ts';
import { ImageError, imageNameText, type ImageName } from './reference.ts';
import { RateLimit } from './rate-limit.ts';
import { packKey, type Repository } from './repository.ts';
import { Seeds } from './seeds.ts';
import type { Threads } from './work/threads.ts';

/** Ranges fetched at once; each is in memory. */
const FETCHES = 6;

export interface Pulled {
  readonly digest: string;
  /** Stored bytes that came from the remote. */
  readonly fetchedBytes: number;
  /** Bytes that came from other hosts. */
  readonly peerBytes: number;
  /** Bytes of files that were here already: in other images, or from an earlier try. */
  readonly reusedBytes: number;
}

export interface PullOptions extends WorkOptions {
  /** Bytes a second to fetch at most. */
  readonly bytesPerSecond?: number;
  /** Asked before the remote. */
  readonly peers?: ChunkSource;
}

/**
 * Brings an image from a remote. Chunks that this machine has in other images are taken from
 * there, sharing blocks where the file system can; only the rest is fetched. Every chunk written
 * is verified. A pull that was interrupted goes on; the image shows when it is whole. Throws
 * `ImageError`, `BlobError`, and `DirectoryInUseError` when another process pulls the same image.
 */
export async function pullImage(
  images: LocalImages,
  threads: Threads,
  repository: Repository,
  name: ImageName,
  options: PullOptions = {},
): Promise<Pulled> {
  const { signal } = options;
  const tag = await repository.tag(name, signal);
  const { digest } = tag;
  if (await images.has(digest)) {
    await images.setTag(name, digest);
    return { digest, fetchedBytes: 0, peerBytes: 0, reusedBytes: tag.size };
  }
  const manifest = await repository.manifest(tag, signal);
  const placement = await repository.placement(tag, signal);
  const dir = images.incomingDir(digest);
  const lock = await lockDirectory(dir, `pulling ${imageNameText(name)}`);
  const assembly = new Assembly(join(dir, 'data'), manifest, threads, signal);
  try {
    const seeds = await Seeds.find(images, name.name);
    const missing = await copyLocal(assembly, seeds, await assembly.begin(seeds), options);
    const reusedBytes = imageSize(manifest) - bytesOf(missing);
    const left = await fetchFromPeers(assembly, manifest, digest, missing, options);
    const fetchedBytes = await fetchAll(assembly, repository, placement, left, options);
    const peerBytes = bytesOf(missing) - bytesOf(left);
    await assembly.finish();
    await images.adopt(dir, manifest);
    await images.markPulled(digest);
    await images.setTag(name, digest);
    return { digest, fetchedBytes, peerBytes, reusedBytes };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    const message = `the disk of ${images.dir} is full; make room and pull again, it goes on`;
    throw new ImageError(message, { cause: error });
  } finally {
    await assembly.close();
    lock.release();
  }
}

/** Takes what local images have elsewhere, and writes zeros. Returns what is still missing. */
async function copyLocal(
  assembly: Assembly,
  seeds: Seeds,
  missing: readonly FileChunk[],
  options: WorkOptions,
): Promise<FileChunk[]> {
  const zeros = missing.filter((chunk) => isZeroId(idOf(chunk)));
  await assembly.clear(zeros);
  const wanted = missing.filter((chunk) => !isZeroId(idOf(chunk)));
  const located = seeds.locate(wanted);
  const counter = new Counter('copy', bytesOf(located.flatMap(missingOf)), options);
  const got = new Set(located.flatMap(missingOf));
  for (const chunks of located) {
    for (const chunk of await assembly.copyFrom(chunks)) got.delete(chunk);
    counter.add(bytesOf(missingOf(chunks)));
  }
  return wanted.filter((chunk) => !got.has(chunk));
}

function missingOf({
  chunks,
}: {
  chunks: readonly { readonly missing: FileChunk }[];
}): FileChunk[] {
  return chunks.map((chunk) => chunk.missing);
}

/** Returns what no peer gave. */
async function fetchFromPeers(
  assembly: Assembly,
  manifest: Manifest,
  digest: string,
  missing: readonly FileChunk[],
  options: PullOptions,
): Promise<readonly FileChunk[]> {
  const { peers, signal } = options;
  if (peers?.has(digest) !== true) return missing;
  const numbers = new Map(manifest.entries.map((entry, number) => [entry, number]));
  const left: FileChunk[] = [];
  const rate = rateOf(options);
  const counter = new Counter('download', bytesOf(missing), options);
  await inParts(runsOf(missing, MOST_CHUNKS), 1, FETCHES, async ([run]) => {
    const [first] = run ?? [];
    if (run === undefined || first === undefined) return;
    signal?.throwIfAborted();
    const length = bytesOf(run);
    await rate?.take(length, signal);
    const entry = numbers.get(first.entry) ?? 0;
    const range = { digest, entry, first: first.index, count: run.length, length };
    const data = await peers.get(range, signal);
    const stored = run.map((chunk, index) => {
      const bytes = lengthOf(chunk);
      return { at: index * CHUNK_BYTES, stored: bytes, length: bytes, targets: [chunk] as const };
    });
    const ids = Buffer.concat(run.map(idOf));
    const damaged = data === undefined ? 0 : await assembly.store(data, stored, ids);
    if (damaged === undefined) counter.add(length);
    else left.push(...run);
  });
  return left;
}

function rateOf({ bytesPerSecond }: PullOptions): RateLimit | undefined {
  return bytesPerSecond === undefined ? undefined : new RateLimit(bytesPerSecond);
}

/** Returns the bytes that came. */
async function fetchAll(
  assembly: Assembly,
  repository: Repository,
  placement: Placement,
  missing: readonly FileChunk[],
  options: PullOptions,
): Promise<number> {
  const rate = rateOf(options);
  const counter = new Counter('download', bytesOf(missing), options);
  let fetchedBytes = 0;
  await inParts(planFetch(missing, placement.chunks), 1, FETCHES, async ([fetch]) => {
    if (fetch === undefined) return;
    options.signal?.throwIfAborted();
    await rate?.take(fetch.length, options.signal);
    await fetchRange(assembly, repository, placement, fetch, options.signal);
    fetchedBytes += fetch.length;
    counter.add(fetch.chunks.reduce((sum, chunk) => sum + bytesOf(chunk.targets), 0));
  });
  return fetchedBytes;
}

/** What arrives damaged is asked for once more: it may have been hurt on the way only. */
async function fetchRange(
  assembly: Assembly,
  repository: Repository,
  placement: Placement,
  { pack, offset, length, chunks }: Fetch,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = packKey(placement.packs[pack] ?? '');
  const ids = Buffer.concat(chunks.map((chunk) => idOf(chunk.targets[0])));
  const stored = chunks.map((chunk) => ({ ...chunk, length: lengthOf(chunk.targets[0]) }));
  for (let tries = 1; ; tries += 1) {
    const data = await repository.blobs.getRange(key, offset, length, signal);
    const damaged = await assembly.store(data, stored, ids);
    if (damaged === undefined) return;
    if (tries < 2) continue;
    const at = offset + (chunks[damaged]?.at ?? 0);
    throw new ImageError(
      `${repository.blobs.location}/${key} is damaged at byte ${at}; remove the object and push the image again from a host that has it`,
    );
  }
}

/** Adds up what is done and tells it. */
class Counter {
  readonly #phase: ImageProgress['phase'];
  readonly #totalBytes: number;
  readonly #options: WorkOptions;
  #doneBytes = 0;

  constructor(phase: ImageProgress['phase'], totalBytes: number, options: WorkOptions) {
    this.#phase = phase;
    this.#totalBytes = totalBytes;
    this.#options = options;
    this.add(0);
  }

  add(bytes: number): void {
    this.#doneBytes += bytes;
    const [doneBytes, totalBytes] = [this.#doneBytes, this.#totalBytes];
    this.#options.progress?.({ phase: this.#phase, doneBytes, totalBytes });
  }
}
