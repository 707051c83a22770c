import type { BlobStore } from '../../drivers/blob/blob.ts';
import type { Kept } from '../logs/retention.ts';
import { BlobFiles } from './blob-files.ts';
import type { SourceFiles } from './file-stores.ts';
import { Incoming } from './incoming.ts';
import type { KeptFile } from './kept-file.ts';
import { mustHaveDigest, sourceHex } from './source-digest.ts';

/** A use is noted so often at most. */
const NOTED_MS = 3_600_000;

/** Sources in a blob store, below `sources/<hex of the digest>`, where `used` was written at the last use. */
export class BlobSourceStore implements SourceFiles {
  readonly limitBytes: number;
  readonly #blobs: BlobStore;
  readonly #files: BlobFiles;
  readonly #incoming: Incoming;
  readonly #noted = new Map<string, number>();

  /** @param incoming a directory for what is gathered before it is sent on */
  constructor(blobs: BlobStore, incoming: string, limitBytes: number) {
    this.#blobs = blobs;
    this.#files = new BlobFiles(blobs);
    this.#incoming = new Incoming(incoming);
    this.limitBytes = limitBytes;
  }

  async has(digest: string): Promise<boolean> {
    return (await this.open(digest)) !== undefined;
  }

  async touch(digest: string): Promise<number | undefined> {
    const file = await this.open(digest);
    if (file === undefined) return undefined;
    const now = Date.now();
    if (now - (this.#noted.get(digest) ?? 0) > NOTED_MS) {
      await this.#blobs.put(`${nameOf(digest)}/used`, Buffer.alloc(0));
      this.#noted.set(digest, now);
    }
    return file.size;
  }

  async put(digest: string, body: AsyncIterable<Buffer>): Promise<{ size: number }> {
    const name = nameOf(digest);
    return this.#incoming.hold(body, this.limitBytes, async (arrived, path) => {
      mustHaveDigest(arrived, digest);
      await this.#files.put(name, path, arrived.size);
    });
  }

  open(digest: string): Promise<KeptFile | undefined> {
    return this.#files.open(nameOf(digest));
  }

  async remove(digest: string): Promise<void> {
    this.#noted.delete(digest);
    await this.#files.remove(`${nameOf(digest)}/`);
  }

  async *list(): AsyncGenerator<Kept<string>, void> {
    for await (const { id, ...sum } of this.#files.list('sources')) {
      yield { id: `sha256:${id}`, ...sum };
    }
  }
}

function nameOf(digest: string): string {
  return `sources/${sourceHex(digest)}`;
}
