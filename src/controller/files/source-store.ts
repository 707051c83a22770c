import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kept } from '../logs/retention.ts';
import { hasCode } from './file-errors.ts';
import { namesIn, openIfThere, statIfThere, unlinkIfThere } from './if-there.ts';
import { Incoming } from './incoming.ts';
import { keptFile, type KeptFile } from './kept-file.ts';
import { mustHaveDigest, sourceHex } from './source-digest.ts';

const FILE_NAME = /^([0-9a-f]{64})\.tgz$/;

/** Uploaded sources in files `<dir>/<hex of the digest>.tgz`. They never change. */
export class SourceStore {
  readonly #dir: string;
  readonly #incoming: Incoming;
  readonly #limitBytes: number;

  /** @param limitBytes the largest source taken */
  constructor(dir: string, limitBytes: number) {
    this.#dir = dir;
    this.#incoming = new Incoming(join(dir, 'incoming'));
    this.#limitBytes = limitBytes;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  async has(digest: string): Promise<boolean> {
    return (await statIfThere(this.#path(digest))) !== undefined;
  }

  /**
   * The size of a source that is there, which counts as used now: retention spares it for a while.
   * Undefined when it is not there.
   */
  async touch(digest: string): Promise<number | undefined> {
    const path = this.#path(digest);
    const file = await statIfThere(path);
    if (file === undefined) return undefined;
    const now = new Date();
    try {
      await utimes(path, now, now);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
    return file.size;
  }

  /**
   * Takes in a source. Throws ProblemError `invalid` when its bytes have another digest,
   * `too_large`, `disk_full`; then nothing of it is kept.
   */
  async put(digest: string, body: AsyncIterable<Buffer>): Promise<{ size: number }> {
    const path = this.#path(digest);
    return this.#incoming.receive(body, this.#limitBytes, (arrived) => {
      mustHaveDigest(arrived, digest);
      return path;
    });
  }

  /** Undefined when it is not there. */
  async open(digest: string): Promise<KeptFile | undefined> {
    const file = await openIfThere(this.#path(digest));
    return file && keptFile(file);
  }

  remove(digest: string): Promise<void> {
    return unlinkIfThere(this.#path(digest));
  }

  async *list(): AsyncGenerator<Kept<string>, void> {
    for (const name of await namesIn(this.#dir)) {
      const hex = FILE_NAME.exec(name)?.[1];
      const file = hex === undefined ? undefined : await statIfThere(join(this.#dir, name));
      if (file === undefined) continue;
      yield { id: `sha256:${hex}`, bytes: file.size, at: file.mtimeMs };
    }
  }

  #path(digest: string): string {
    return join(this.#dir, `${sourceHex(digest)}.tgz`);
  }
}
