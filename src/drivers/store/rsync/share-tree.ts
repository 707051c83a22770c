import { type BigIntStats } from 'node:fs';
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  symlink,
  utimes,
} from 'node:fs/promises';
import { isMissing } from '../../../platform/atomic-file.ts';
import { limiter } from '../../../platform/limiter.ts';

const CONCURRENCY = 16;
const CHUNK_BYTES = 2 ** 18;
const SEPARATOR = Buffer.from('/');
const NANOSECONDS = 1e9;

/**
 * Makes the empty directory `to` like `from` by links: files that are the same in `parent` are
 * those, all others are those of `from`, which is not to be written to any more. All are on one
 * file system.
 */
export async function shareTree(from: string, to: string, parent: string): Promise<void> {
  const asRoot = process.getuid?.() === 0;
  const limit = limiter(CONCURRENCY);

  async function directory(at: Buffer, into: Buffer, like: Buffer | undefined): Promise<void> {
    const names = await limit(() => readdir(at, { encoding: 'buffer' }));
    await Promise.all(
      names.map((name) =>
        entry(child(at, name), child(into, name), like === undefined ? like : child(like, name)),
      ),
    );
    const stats = await lstat(at, { bigint: true });
    if (asRoot) await lchown(into, Number(stats.uid), Number(stats.gid));
    await chmod(into, Number(stats.mode) & 0o7777);
    await utimes(into, seconds(stats.atimeNs), seconds(stats.mtimeNs));
  }

  async function entry(at: Buffer, into: Buffer, like: Buffer | undefined): Promise<void> {
    const stats = await limit(() => lstat(at, { bigint: true }));
    const old = like === undefined ? undefined : await limit(() => statOf(like));
    if (stats.isDirectory()) {
      await mkdir(into, { mode: 0o700 });
      return directory(at, into, old?.isDirectory() === true ? like : undefined);
    }
    if (stats.isSymbolicLink()) {
      await symlink(await readlink(at, { encoding: 'buffer' }), into);
      if (asRoot) await lchown(into, Number(stats.uid), Number(stats.gid));
      return lutimes(into, seconds(stats.atimeNs), seconds(stats.mtimeNs));
    }
    if (!stats.isFile()) return;
    // Of a file with several names, all have to stay one.
    const same =
      like !== undefined &&
      stats.nlink === 1n &&
      old !== undefined &&
      looksLike(stats, old) &&
      (await limit(() => sameBytes(at, like)));
    await limit(() => link(same ? like : at, into));
  }

  await directory(Buffer.from(from), Buffer.from(to), Buffer.from(parent));
}

async function statOf(path: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Copies keep times to the microsecond. */
function looksLike(one: BigIntStats, other: BigIntStats): boolean {
  return (
    other.isFile() &&
    one.size === other.size &&
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.mtimeNs / 1_000n === other.mtimeNs / 1_000n
  );
}

async function sameBytes(one: Buffer, other: Buffer): Promise<boolean> {
  await using a = await open(one);
  await using b = await open(other);
  const [left, right] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
  for (let at = 0; ;) {
    const [{ bytesRead: read }, { bytesRead: also }] = await Promise.all([
      a.read(left, 0, CHUNK_BYTES, at),
      b.read(right, 0, CHUNK_BYTES, at),
    ]);
    if (read !== also || !left.subarray(0, read).equals(right.subarray(0, read))) return false;
    if (read === 0) return true;
    at += read;
  }
}

function child(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SEPARATOR, name]);
}

function seconds(nanoseconds: bigint): number {
  return Number(nanoseconds) / NANOSECONDS;
}
