import { createHash } from 'node:crypto';
import { createReadStream, lstatSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { lstat, readdir, realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { InsidePathError, resolveInside } from '../../platform/inside-path.ts';
import { limiter } from '../../platform/limiter.ts';
import { SMALL_BYTES } from '../../platform/tree.ts';
import { Turns } from '../../platform/turns.ts';
import { BuildError } from '../build-error.ts';

/** What a `copy` brings, in the order of the bytes of its paths. Paths are relative to the root. */
export type ManifestEntry =
  | {
      readonly kind: 'file';
      readonly path: Buffer;
      /** Lowercase hexadecimal SHA-256. */
      readonly sha256: string;
      readonly stats: Stats;
    }
  | { readonly kind: 'link'; readonly path: Buffer; readonly target: Buffer; readonly stats: Stats }
  | {
      readonly kind: 'directory';
      readonly path: Buffer;
      readonly entries: readonly ManifestEntry[];
      readonly stats: Stats;
    };

/** Knows the hash of content that was hashed before, by the file's identity and times. */
export interface ContentHashes {
  known(path: Buffer, stats: Stats): string | undefined;
  learn(path: Buffer, stats: Stats, sha256: string): void;
}

export interface ManifestRequest {
  /** Directory of the sources; nothing outside it is read. */
  readonly root: string;
  readonly src: readonly string[];
  /** Names left out below the sources. */
  readonly exclude: readonly string[];
  readonly hashes?: ContentHashes;
  readonly signal: AbortSignal;
}

/** Hashed at a time: as many as the system's threads that read. */
const HASHING = 8;
/** Directories read at a time. */
const READING = 8;
const SLASH = Buffer.from('/');

/**
 * Reads and hashes the sources of a `copy`, one entry for each source. Throws `BuildError`
 * `bad_source` for what is missing, outside the root, or neither file, link nor directory.
 */
export async function makeManifest(request: ManifestRequest): Promise<ManifestEntry[]> {
  const root = await realpath(request.root).catch((cause: unknown) => {
    throw new BuildError('bad_source', `the context ${request.root} cannot be read`, { cause });
  });
  const walker = new ManifestWalker(root, request);
  return Promise.all(request.src.map((source) => walker.source(source)));
}

class ManifestWalker {
  readonly #root: Buffer;
  readonly #exclude: readonly Buffer[];
  readonly #hashes: ContentHashes | undefined;
  readonly #signal: AbortSignal;
  readonly #hashing = limiter(HASHING);
  readonly #reading = limiter(READING);
  readonly #turns = new Turns();

  constructor(root: string, { exclude, hashes, signal }: ManifestRequest) {
    this.#root = Buffer.from(root);
    this.#exclude = exclude.map((name) => Buffer.from(name));
    this.#hashes = hashes;
    this.#signal = signal;
  }

  async source(source: string): Promise<ManifestEntry> {
    if (source.split('/').includes('..')) {
      throw new BuildError('bad_source', `${source} leads out of the context; name what is in it`);
    }
    const path = await this.#resolve(source);
    return this.#entry(Buffer.from(path), await this.#look(path, source));
  }

  /** Links on the way are followed, never out of the root; the last name is not. */
  async #resolve(source: string): Promise<string> {
    const path = posix.join('/', source).replace(/(?<=.)\/$/, '');
    if (path === '/') return '';
    try {
      const above = await resolveInside(
        [{ inside: '/', dir: this.#root.toString() }],
        posix.dirname(path),
      );
      return posix.join(above, posix.basename(path)).slice(1);
    } catch (cause) {
      if (!(cause instanceof InsidePathError)) throw cause;
      throw new BuildError('bad_source', `${source}: ${cause.message}`, { cause });
    }
  }

  async #look(path: string, source: string): Promise<Stats> {
    try {
      return await lstat(this.#full(Buffer.from(path)));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const why = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : `cannot be read`;
      throw new BuildError(
        'bad_source',
        `${source === '' ? '.' : source} ${why} in ${this.#root.toString()}`,
        { cause },
      );
    }
  }

  async #entry(path: Buffer, stats: Stats): Promise<ManifestEntry> {
    if (stats.isDirectory()) return this.#directory(path, stats);
    if (stats.isSymbolicLink()) {
      const target = readlinkSync(this.#full(path), { encoding: 'buffer' });
      return { kind: 'link', path, target, stats };
    }
    if (stats.isFile()) {
      return { kind: 'file', path, sha256: await this.#hash(path, stats), stats };
    }
    throw new BuildError(
      'bad_source',
      `${path.toString()} is neither a file nor a directory nor a link; exclude it`,
    );
  }

  async #directory(path: Buffer, stats: Stats): Promise<ManifestEntry> {
    this.#signal.throwIfAborted();
    const names = await this.#reading(() => readdir(this.#full(path), { encoding: 'buffer' }));
    const entries: ManifestEntry[] = [];
    const slow: Promise<void>[] = [];
    for (const name of names.toSorted((a, b) => a.compare(b))) {
      if (this.#exclude.some((excluded) => excluded.equals(name))) continue;
      await this.#turns.next();
      const below = path.length === 0 ? name : Buffer.concat([path, SLASH, name]);
      const found = lstatSync(this.#full(below), { throwIfNoEntry: false });
      // It went while the directory was read: as if it never was.
      if (found === undefined) continue;
      const known = found.isFile() ? this.#hashes?.known(below, found) : undefined;
      const at = entries.length;
      if (known !== undefined) {
        entries.push({ kind: 'file', path: below, sha256: known, stats: found });
        continue;
      }
      // Its place is kept, so that the order stays that of the names.
      entries.push({ kind: 'directory', path: below, entries: [], stats: found });
      slow.push(this.#entry(below, found).then((entry) => void (entries[at] = entry)));
    }
    await Promise.all(slow);
    return { kind: 'directory', path, entries, stats };
  }

  async #hash(path: Buffer, stats: Stats): Promise<string> {
    const known = this.#hashes?.known(path, stats);
    if (known !== undefined) return known;
    const sha256 = await this.#hashing(async () => {
      await this.#turns.next();
      return hashFile(this.#full(path), stats.size, this.#signal);
    });
    this.#hashes?.learn(path, stats, sha256);
    return sha256;
  }

  #full(path: Buffer): Buffer {
    return path.length === 0 ? this.#root : Buffer.concat([this.#root, SLASH, path]);
  }
}

/** Lowercase hexadecimal SHA-256 of a file's content; `size` as it was last seen. */
export async function hashFile(path: Buffer, size: number, signal: AbortSignal): Promise<string> {
  // Read at once, small files take less time than to hand them to another thread.
  if (size <= SMALL_BYTES) return createHash('sha256').update(readFileSync(path)).digest('hex');
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18, signal })) {
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
