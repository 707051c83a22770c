import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMissing } from '../../platform/atomic-file.ts';
import { BlobError, type BlobDriver, type BlobInfo, type BlobStore } from './blob.ts';

/** Half-written objects of processes that died are removed after this long. */
const STALE_MS = 24 * 3_600_000;
const TEMPORARY = '.new';

/** Objects as files below a directory, which may be on a network file system. */
export const directoryBlobs: BlobDriver = {
  name: 'file',
  async open(location) {
    let root: string;
    try {
      root = fileURLToPath(location);
    } catch (cause) {
      throw new BlobError('bad_location', `${location.href} is no path; expected file:///dir`, {
        cause,
      });
    }
    return new DirectoryBlobs(root);
  },
};

class DirectoryBlobs implements BlobStore {
  readonly location: string;
  readonly #root: string;
  #swept = false;

  constructor(root: string) {
    this.#root = root;
    this.location = `file://${root}`;
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const path = this.#path(key);
    const temporary = join(this.#root, TEMPORARY, randomBytes(12).toString('hex'));
    try {
      await mkdir(dirname(path), { recursive: true });
      await mkdir(dirname(temporary), { recursive: true });
      await this.#sweepOnce();
      const file = await open(temporary, 'wx');
      try {
        await file.writeFile(bytes);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw this.#translate(error);
    }
  }

  async get(key: string): Promise<Buffer> {
    try {
      return await readFile(this.#path(key));
    } catch (error) {
      throw this.#translate(error);
    }
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer> {
    try {
      const file = await open(this.#path(key), 'r');
      try {
        const bytes = Buffer.allocUnsafe(length);
        let read = 0;
        while (read < length) {
          const { bytesRead } = await file.read(bytes, read, length - read, offset + read);
          if (bytesRead === 0) {
            throw new BlobError('short', `${this.location}/${key} ends before ${offset + length}`);
          }
          read += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    } catch (error) {
      throw this.#translate(error);
    }
  }

  async *list(prefix: string): AsyncGenerator<BlobInfo, void> {
    const slash = prefix.lastIndexOf('/');
    yield* this.#listBelow(join(this.#root, prefix.slice(0, Math.max(slash, 0))), prefix);
  }

  async *#listBelow(dir: string, prefix: string): AsyncGenerator<BlobInfo, void> {
    let entries;
    try {
      entries = await readdir(dir, { withFileTypes: true });
    } catch (error) {
      if (isMissing(error)) return;
      throw this.#translate(error);
    }
    for (const entry of entries) {
      const path = join(dir, entry.name);
      const key = relative(this.#root, path);
      if (key === TEMPORARY) continue;
      if (entry.isDirectory()) {
        if (key.startsWith(prefix) || prefix.startsWith(`${key}/`)) {
          yield* this.#listBelow(path, prefix);
        }
      } else if (key.startsWith(prefix)) {
        const stats = await statIfThere(path);
        if (stats !== undefined) yield { key, bytes: stats.size, modifiedMs: stats.mtimeMs };
      }
    }
  }

  async delete(key: string): Promise<void> {
    try {
      await rm(this.#path(key), { force: true });
    } catch (error) {
      throw this.#translate(error);
    }
  }

  close(): void {}

  async #sweepOnce(): Promise<void> {
    if (this.#swept) return;
    this.#swept = true;
    const dir = join(this.#root, TEMPORARY);
    for (const name of await readdir(dir)) {
      const stats = await statIfThere(join(dir, name));
      if (stats !== undefined && stats.mtimeMs < Date.now() - STALE_MS) {
        await rm(join(dir, name), { force: true });
      }
    }
  }

  #path(key: string): string {
    return join(this.#root, key);
  }

  #translate(error: unknown): unknown {
    if (error instanceof BlobError) return error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (isMissing(error)) return new BlobError('missing', `${this.location}: ${message}`);
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      return new BlobError('no_space', `${this.location} is full`, { cause: error });
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      return new BlobError('denied', `${this.location}: ${message}`, { cause: error });
    }
    return error;
  }
}

async function statIfThere(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
