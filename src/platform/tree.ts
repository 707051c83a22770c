import { createHash } from 'node:crypto';
import {
  chmodSync,
  constants,
  copyFileSync,
  createReadStream,
  lchownSync,
  lstatSync,
  utimesSync,
  type Stats,
} from 'node:fs';
import {
  chmod,
  copyFile,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readlink,
  rm,
  symlink,
  utimes,
} from 'node:fs/promises';
import { limiter } from './limiter.ts';
import { Turns } from './turns.ts';

/** Files worked on at a time: enough to keep a disk busy, few enough for any open-files limit. */
const CONCURRENCY = 16;
/**
 * Files up to this size are copied at once: the system does it in less time than it takes to hand
 * the work to another thread.
 */
export const SMALL_BYTES = 2 ** 18;
const SEPARATOR = Buffer.from('/');

export interface CopyOptions {
  /** Share blocks with the source; fails where the file system cannot. */
  readonly reflink: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies what is in directory `from` into the empty directory `to`, with owners (as root), modes,
 * symbolic and hard links and times. Names may hold any bytes. Pipes, sockets and devices are left
 * out. Throws the first error, after all that had begun is over.
 */
export async function copyTree(from: string, to: string, options: CopyOptions): Promise<void> {
  const copier = new TreeCopier(options);
  await copier.directory(Buffer.from(from), Buffer.from(to), await lstat(from));
}

class TreeCopier {
  readonly #flags: number;
  readonly #signal: AbortSignal | undefined;
  readonly #limit = limiter(CONCURRENCY);
  readonly #asRoot = process.getuid?.() === 0;
  readonly #turns = new Turns();
  /** Copies of files with several names, by device and inode. */
  readonly #linked = new Map<string, Promise<Buffer>>();

  constructor(options: CopyOptions) {
    this.#flags = options.reflink ? constants.COPYFILE_FICLONE_FORCE : 0;
    this.#signal = options.signal;
  }

  async directory(from: Buffer, to: Buffer, stats: Stats): Promise<void> {
    this.#signal?.throwIfAborted();
    const entries = await this.#limit(() => readdir(from, { encoding: 'buffer' }));
    const copies = await Promise.allSettled(
      entries.map((name) => this.#entry(child(from, name), child(to, name))),
    );
    for (const copy of copies) if (copy.status === 'rejected') throw copy.reason;
    // Last, since a read-only directory could not be filled and filling changes its time.
    await this.#like(to, stats);
    await utimes(to, stats.atime, stats.mtime);
  }

  async #entry(from: Buffer, to: Buffer): Promise<void> {
    this.#signal?.throwIfAborted();
    await this.#turns.next();
    const stats = lstatSync(from);
    if (stats.isDirectory()) {
      await mkdir(to, { mode: 0o700 });
      await this.directory(from, to, stats);
    } else if (stats.isSymbolicLink()) {
      await this.#limit(() => this.#symlink(from, to, stats));
    } else if (stats.isFile()) {
      await this.#file(from, to, stats);
    }
  }

  async #file(from: Buffer, to: Buffer, stats: Stats): Promise<void> {
    if (stats.nlink === 1) return this.#limit(() => this.#copyFile(from, to, stats));
    const key = `${stats.dev}:${stats.ino}`;
    const first = this.#linked.get(key);
    if (first !== undefined) {
      const other = await first;
      return this.#limit(() => link(other, to));
    }
    const copy = this.#limit(() => this.#copyFile(from, to, stats)).then(() => to);
    this.#linked.set(key, copy);
    await copy;
  }

  async #copyFile(from: Buffer, to: Buffer, stats: Stats): Promise<void> {
    if (stats.size <= SMALL_BYTES) {
      await this.#turns.next();
      copyFileSync(from, to, this.#flags);
      if (this.#asRoot) lchownSync(to, stats.uid, stats.gid);
      chmodSync(to, stats.mode & 0o7777);
      utimesSync(to, stats.atime, stats.mtime);
      return;
    }
    await copyFile(from, to, this.#flags);
    await this.#like(to, stats);
    await utimes(to, stats.atime, stats.mtime);
  }

  async #symlink(from: Buffer, to: Buffer, stats: Stats): Promise<void> {
    await symlink(await readlink(from, { encoding: 'buffer' }), to);
    if (this.#asRoot) await lchown(to, stats.uid, stats.gid);
    await lutimes(to, stats.atime, stats.mtime);
  }

  /** Owner before mode: changing the owner clears the set-user-id bit. */
  async #like(path: Buffer, stats: Stats): Promise<void> {
    if (this.#asRoot) await lchown(path, stats.uid, stats.gid);
    await chmod(path, stats.mode & 0o7777);
  }
}

/** While something of a process that is ending is still being written. */
const RETRIES = { maxRetries: 5, retryDelay: 50 } as const;

/** Removes a tree whatever is in it, read-only directories included. Idempotent. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, ...RETRIES });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    await openUp(Buffer.from(path));
    await rm(path, { recursive: true, force: true, ...RETRIES });
  }
}

async function openUp(directory: Buffer): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    if (entry.isDirectory()) await openUp(child(directory, entry.name));
  }
}

/** Bytes that a tree takes on its disk; a file with several names counts once. */
export async function treeBytes(path: string): Promise<number> {
  const limit = limiter(CONCURRENCY);
  const linked = new Set<string>();
  const BLOCK = 512;
  const visit = async (at: Buffer): Promise<number> => {
    const stats = await limit(() => lstat(at));
    if (!stats.isDirectory() && stats.nlink > 1) {
      const key = `${stats.dev}:${stats.ino}`;
      if (linked.has(key)) return 0;
      linked.add(key);
    }
    let bytes = stats.blocks * BLOCK;
    if (!stats.isDirectory()) return bytes;
    const names = await limit(() => readdir(at, { encoding: 'buffer' }));
    for (const each of await Promise.all(names.map((name) => visit(child(at, name))))) {
      bytes += each;
    }
    return bytes;
  };
  return visit(Buffer.from(path));
}

/** Gives everything in a tree to a user and group, without following links. */
export async function chownTree(path: string, uid: number, gid: number): Promise<void> {
  const limit = limiter(CONCURRENCY);
  const visit = async (at: Buffer): Promise<void> => {
    const stats = await limit(() => lstat(at));
    if (stats.uid !== uid || stats.gid !== gid) {
      await limit(() => lchown(at, uid, gid));
      // Changing the owner clears these bits, which belong to the image.
      if ((stats.mode & 0o6000) !== 0 && !stats.isSymbolicLink()) {
        await limit(() => chmod(at, stats.mode & 0o7777));
      }
    }
    if (!stats.isDirectory()) return;
    const names = await limit(() => readdir(at, { encoding: 'buffer' }));
    await Promise.all(names.map((name) => visit(child(at, name))));
  };
  await visit(Buffer.from(path));
}

/**
 * `sha256:<hex>` of a directory's content: of every entry below it, sorted by the bytes of its
 * path, its kind, its executable bit or link target, and its bytes. Neither owners nor times count.
 */
export async function digestTree(directory: string): Promise<string> {
  const limit = limiter(CONCURRENCY);
  const root = Buffer.from(directory);
  const lines: { path: Buffer; line: Promise<Buffer> }[] = [];
  const visit = async (at: Buffer, path: Buffer): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true, encoding: 'buffer' })) {
      const below = path.length === 0 ? entry.name : child(path, entry.name);
      const full = child(at, entry.name);
      if (entry.isDirectory()) {
        lines.push({ path: below, line: Promise.resolve(Buffer.from('dir')) });
        await visit(full, below);
      } else if (entry.isSymbolicLink()) {
        lines.push({ path: below, line: limit(() => linkLine(full)) });
      } else if (entry.isFile()) {
        lines.push({ path: below, line: limit(() => fileLine(full)) });
      }
    }
  };
  await visit(root, Buffer.alloc(0));
  await Promise.all(lines.map(({ line }) => line));
  const hash = createHash('sha256').update('pomona-tree-1\0');
  for (const { path, line } of lines.toSorted((a, b) => a.path.compare(b.path))) {
    hash
      .update(path)
      .update('\0')
      .update(await line)
      .update('\0');
  }
  return `sha256:${hash.digest('hex')}`;
}

async function linkLine(path: Buffer): Promise<Buffer> {
  return Buffer.concat([Buffer.from('link '), await readlink(path, { encoding: 'buffer' })]);
}

async function fileLine(path: Buffer): Promise<Buffer> {
  const executable = ((await lstat(path)).mode & 0o111) !== 0;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18 })) {
    hash.update(chunk as Buffer);
  }
  return Buffer.from(`${executable ? 'program' : 'file'} ${hash.digest('hex')}`);
}

function child(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SEPARATOR, name]);
}
