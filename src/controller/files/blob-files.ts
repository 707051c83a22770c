import { open } from 'node:fs/promises';
import type { BlobStore } from '../../drivers/blob/blob.ts';
import { limiter } from '../../platform/limiter.ts';
import type { Kept } from '../logs/retention.ts';
import type { KeptFile } from './kept-file.ts';

/** One object holds at most so much of a file: it passes through memory. */
const PART_BYTES = 16 * 2 ** 20;
const UPLOADS_AT_ONCE = 3;
const DELETES_AT_ONCE = 8;

/**
 * Files in a blob store: `<name>/<size>.<index>` for each part, all of the same size but the last. A
 * file is there once its parts are as much as the size in their names.
 */
export class BlobFiles {
  readonly #blobs: BlobStore;

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  /** Writes or replaces a file with one of the disk. */
  async put(name: string, path: string, size: number): Promise<void> {
    const file = await open(path, 'r');
    const inTurn = limiter(UPLOADS_AT_ONCE);
    const upload = async (index: number) => {
      const bytes = Buffer.allocUnsafeSlow(Math.min(PART_BYTES, size - index * PART_BYTES));
      await file.read(bytes, 0, bytes.length, index * PART_BYTES);
      await this.#blobs.put(`${name}/${size}.${index}`, bytes);
    };
    try {
      const parts = Math.max(1, Math.ceil(size / PART_BYTES));
      await Promise.all(Array.from({ length: parts }, (_, index) => inTurn(() => upload(index))));
    } finally {
      await file.close();
    }
  }

  /** Undefined when it is not there, or not whole. */
  async open(name: string): Promise<KeptFile | undefined> {
    let size: number | undefined;
    let bytes = 0;
    let parts = 0;
    for await (const blob of this.#blobs.list(`${name}/`)) {
      const [, text] = /\/(\d+)\.\d+$/.exec(blob.key) ?? [];
      if (text === undefined) continue;
      size = Number(text);
      bytes += blob.bytes;
      parts += 1;
    }
    if (size === undefined || bytes !== size) return undefined;
    const whole = size;
    return {
      size,
      read: () => this.#read(name, whole, parts),
      close: async () => undefined,
    };
  }

  async *#read(name: string, size: number, parts: number): AsyncGenerator<Buffer, void> {
    for (let index = 0; index < parts; index += 1) {
      yield await this.#blobs.get(`${name}/${size}.${index}`);
    }
  }

  /** Removes all files whose names begin so. */
  async remove(prefix: string): Promise<void> {
    const inTurn = limiter(DELETES_AT_ONCE);
    const deleting: Promise<void>[] = [];
    for await (const { key } of this.#blobs.list(prefix)) {
      deleting.push(inTurn(() => this.#blobs.delete(key)));
    }
    await Promise.all(deleting);
  }

  /** What there is below a folder, summed by the part of the name that comes next. */
  async *list(folder: string): AsyncGenerator<Kept<string>, void> {
    const sums = new Map<string, { bytes: number; at: number }>();
    for await (const { key, bytes, modifiedMs } of this.#blobs.list(`${folder}/`)) {
      const id = key.slice(folder.length + 1).split('/')[0] ?? '';
      const sum = sums.get(id) ?? { bytes: 0, at: 0 };
      sums.set(id, { bytes: sum.bytes + bytes, at: Math.max(sum.at, modifiedMs) });
    }
    for (const [id, sum] of sums) yield { id, ...sum };
  }
}
