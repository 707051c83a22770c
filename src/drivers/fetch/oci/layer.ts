import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, lchown, link, lstat, lutimes, mkdir, readdir, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { isMissing } from '../../../platform/atomic-file.ts';
import { InsidePathError, resolveInside } from '../../../platform/inside-path.ts';
import { removeTree } from '../../../platform/tree.ts';
import { FetchError } from '../fetch.ts';

export interface Layer {
  /** A file with the layer as it was sent. */
  readonly path: string;
  readonly mediaType: string;
  /** Of the layer unpacked. */
  readonly diffId: string;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * Puts a layer over a root file system: whiteouts remove what earlier layers have, entries are made
 * with owners (as root), modes and times, and no path leads out of the root, whatever links are in
 * it. Devices and pipes are left out. Throws `FetchError`.
 */
export async function applyLayer(root: string, layer: Layer, signal: AbortSignal): Promise<void> {
  const whiteouts: string[] = [];
  await eachEntry(layer, signal, async (entry) => {
    entry.resume();
    if (basename(entry.path).startsWith(WHITEOUT)) whiteouts.push(entry.path);
  });
  const writer = new LayerWriter(root);
  for (const path of whiteouts) await writer.whiteout(path);
  await eachEntry(layer, signal, async (entry) => {
    if (basename(entry.path).startsWith(WHITEOUT)) entry.resume();
    else await writer.write(entry);
  });
  await writer.finish();
}

/** Reads a layer's entries in order, and checks the digest of all of it. */
async function eachEntry(
  { path, mediaType, diffId }: Layer,
  signal: AbortSignal,
  onEntry: (entry: ReadEntry) => Promise<void>,
): Promise<void> {
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(undefined, chunk);
    },
  });
  let last = Promise.resolve();
  let failed: Error | undefined;
  const parser = new Parser({
    strict: true,
    onReadEntry(entry) {
      last = last
        .then(() => (failed === undefined ? onEntry(entry) : undefined))
        .catch((error: unknown) => {
          failed ??= error as Error;
        })
        .finally(() => entry.resume());
    },
  });
  const sink = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (failed !== undefined) return done(failed);
      if (parser.write(chunk)) return done();
      parser.once('drain', () => done());
    },
    flush(done) {
      parser.once('end', () => done());
      parser.end();
    },
  });
  const broken = new Promise<never>((_resolve, reject) => parser.once('error', reject));
  broken.catch(() => undefined);
  try {
    const flow = pipeline(
      [createReadStream(path), ...unpacker(mediaType, path), hashing, sink.resume()],
      { signal },
    );
    await Promise.race([flow, broken]);
    await last;
  } catch (cause) {
    if (signal.aborted || cause instanceof FetchError) throw cause;
    throw new FetchError('corrupt', `a layer cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (failed !== undefined) throw failed;
  const digest = `sha256:${hash.digest('hex')}`;
  if (digest !== diffId) {
    throw new FetchError('corrupt', `a layer unpacks to ${digest}, and should to ${diffId}`);
  }
}

function unpacker(mediaType: string, path: string): NodeJS.ReadWriteStream[] {
  if (/[.+]gzip$/.test(mediaType)) return [createGunzip()];
  if (mediaType.endsWith('+zstd')) return [createZstdDecompress()];
  if (mediaType.endsWith('.tar')) return [];
  throw new FetchError('refused', `layers of the kind ${mediaType} cannot be read (${path})`);
}

class LayerWriter {
  readonly #root: string;
  readonly #asRoot = process.getuid?.() === 0;
  /** Directories whose modes and times are set last: a read-only one could not be filled. */
  readonly #directories = new Map<string, ReadEntry>();

  constructor(root: string) {
    this.#root = root;
  }

  async whiteout(path: string): Promise<void> {
    const name = basename(path);
    const dir = await this.#place(dirname(path));
    if (dir === undefined) return;
    if (name !== OPAQUE) return removeTree(join(dir, name.slice(WHITEOUT.length)));
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
