import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import { limiter } from '../../platform/limiter.ts';

/** What changed less long ago may change again without its times showing it. */
const SETTLED_MS = 2_000;
const CONCURRENCY = 32;
const SEPARATOR = Buffer.from('/');

/**
 * Digests of files and trees of this machine, kept so that what was not touched is not read again.
 */
export class KnownDigests {
  readonly #dir: string;
  readonly #now: () => number;

  constructor(dir: string, now: () => number = Date.now) {
    this.#dir = dir;
    this.#now = now;
  }

  /** The digest of what is at `path`, by `compute` unless it is known. */
  async of(path: string, compute: () => Promise<string>): Promise<string> {
    const now = this.#now();
    const { stamp, changedMs } = await stampOf(path);
    const file = join(this.#dir, `${createHash('sha256').update(path).digest('hex')}.json`);
    const known = await readJson<{ stamp: string; digest: string }>(file).catch(() => undefined);
    if (known?.stamp === stamp) return known.digest;
    const digest = await compute();
    if (now - changedMs > SETTLED_MS && (await stampOf(path)).stamp === stamp) {
      await mkdir(this.#dir, { recursive: true });
      await writeJson(file, { stamp, digest });
    }
    return digest;
  }
}

/** What changes when anything of it does, by what the file system says of all its entries. */
async function stampOf(path: string): Promise<{ stamp: string; changedMs: number }> {
  const limit = limiter(CONCURRENCY);
  // Of each entry a hash, all of them joined in any order: a tree may have millions.
  const stamp = Buffer.alloc(32);
  let changedMs = 0;
  const visit = async (at: Buffer): Promise<void> => {
    const stats = await limit(() => lstat(at, { bigint: true }));
    const hash = createHash('sha256').update(at).update('\0').update(lineOf(stats)).digest();
    for (const [index, byte] of hash.entries()) stamp[index] = (stamp[index] ?? 0) ^ byte;
    changedMs = Math.max(changedMs, Number(stats.ctimeMs));
    if (!stats.isDirectory()) return;
    const names = await limit(() => readdir(at, { encoding: 'buffer' }));
    await Promise.all(names.map((name) => visit(Buffer.concat([at, SEPARATOR, name]))));
  };
  await visit(Buffer.from(path));
  return { stamp: stamp.toString('hex'), changedMs };
}

function lineOf({ dev, ino, mode, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, mode, size, mtimeNs, ctimeNs].join(' ');
}
