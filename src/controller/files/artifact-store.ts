import { join } from 'node:path';
import type { Kept } from '../logs/retention.ts';
import { checkEpoch, checkId, shardOf } from './file-names.ts';
import { namesIn, openIfThere, removeTree, statIfThere } from './if-there.ts';
import { Incoming, type Arrived } from './incoming.ts';
import { keptFile, type KeptFile } from './kept-file.ts';

const SHARD = /^[a-z0-9-]{2}$/;

/**
 * Artifacts in files `<dir>/<shard>/<job>/<epoch>/<SHA-256 of the content>`. Their paths in the
 * worker, which the job chose, are kept in the database and never become file names.
 */
export class ArtifactStore {
  readonly #dir: string;
  readonly #incoming: Incoming;
  readonly #limitBytes: number;

  /** @param limitBytes the largest artifact taken */
  constructor(dir: string, limitBytes: number) {
    this.#dir = dir;
    this.#incoming = new Incoming(join(dir, 'incoming'));
    this.#limitBytes = limitBytes;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** Takes in one artifact. Throws ProblemError `too_large`, `disk_full`; then nothing is kept. */
  put(jobId: string, epoch: number, body: AsyncIterable<Buffer>): Promise<Arrived> {
    const dir = join(this.#jobDir(jobId), String(checkEpoch(epoch)));
    return this.#incoming.receive(body, this.#limitBytes, ({ sha256 }) => join(dir, sha256));
  }

  /** Undefined when it is not there. */
  async open(jobId: string, epoch: number, sha256: string): Promise<KeptFile | undefined> {
    if (!/^[0-9a-f]{64}$/.test(sha256)) return undefined;
    const path = join(this.#jobDir(jobId), String(checkEpoch(epoch)), sha256);
    const file = await openIfThere(path);
    return file && keptFile(file);
  }

  /** Removes the artifacts of all hand-overs of a job that is finished. */
  remove(jobId: string): Promise<void> {
    return removeTree(this.#jobDir(jobId));
  }

  /** The artifacts of each job together, in no order. */
  async *list(): AsyncGenerator<Kept<string>, void> {
    for (const shard of (await namesIn(this.#dir)).filter((name) => SHARD.test(name))) {
      for (const id of await namesIn(join(this.#dir, shard))) {
        yield { id, ...(await sumOf(join(this.#dir, shard, id))) };
      }
    }
  }

  #jobDir(jobId: string): string {
    return join(this.#dir, shardOf(checkId(jobId)), jobId);
  }
}

async function sumOf(jobDir: string): Promise<{ bytes: number; at: number }> {
  let bytes = 0;
  let at = 0;
  for (const epoch of await namesIn(jobDir)) {
    for (const name of await namesIn(join(jobDir, epoch))) {
      const file = await statIfThere(join(jobDir, epoch, name));
      if (file === undefined) continue;
      bytes += file.size;
      at = Math.max(at, file.mtimeMs);
    }
  }
  return { bytes, at };
}
