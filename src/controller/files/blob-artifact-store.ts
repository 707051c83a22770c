import type { BlobStore } from '../../drivers/blob/blob.ts';
import type { Kept } from '../logs/retention.ts';
import { BlobFiles } from './blob-files.ts';
import { checkEpoch, checkId } from './file-names.ts';
import type { ArtifactFiles } from './file-stores.ts';
import { Incoming, type Arrived } from './incoming.ts';
import type { KeptFile } from './kept-file.ts';

/** Artifacts in a blob store, below `artifacts/<job>/<epoch>/<SHA-256 of the content>`. */
export class BlobArtifactStore implements ArtifactFiles {
  readonly limitBytes: number;
  readonly #files: BlobFiles;
  readonly #incoming: Incoming;

  /** @param incoming a directory for what is gathered before it is sent on */
  constructor(blobs: BlobStore, incoming: string, limitBytes: number) {
    this.#files = new BlobFiles(blobs);
    this.#incoming = new Incoming(incoming);
    this.limitBytes = limitBytes;
  }

  put(jobId: string, epoch: number, body: AsyncIterable<Buffer>): Promise<Arrived> {
    const folder = `${folderOf(jobId)}/${checkEpoch(epoch)}`;
    return this.#incoming.hold(body, this.limitBytes, ({ size, sha256 }, path) =>
      this.#files.put(`${folder}/${sha256}`, path, size),
    );
  }

  async open(jobId: string, epoch: number, sha256: string): Promise<KeptFile | undefined> {
    if (!/^[0-9a-f]{64}$/.test(sha256)) return undefined;
    return this.#files.open(`${folderOf(jobId)}/${checkEpoch(epoch)}/${sha256}`);
  }

  remove(jobId: string): Promise<void> {
    return this.#files.remove(`${folderOf(jobId)}/`);
  }

  list(): AsyncGenerator<Kept<string>, void> {
    return this.#files.list('artifacts');
  }
}

function folderOf(jobId: string): string {
  return `artifacts/${checkId(jobId)}`;
}
