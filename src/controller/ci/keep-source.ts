import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CiError, type SourceFile } from '../../drivers/ci/ci.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { SourceFiles } from '../files/file-stores.ts';

const WHAT = 'the program of the runner';

/** Fetches programs of runners once, checks them, and keeps them with the sources of jobs. */
export class SourceKeeper {
  readonly #sources: Pick<SourceFiles, 'touch' | 'put'>;
  readonly #fetching = new Map<string, Promise<void>>();

  constructor(sources: Pick<SourceFiles, 'touch' | 'put'>) {
    this.#sources = sources;
  }

  /** Its digest, once it is there. Callers at the same time share one fetch. Throws `CiError`. */
  async keep({ url, sha256 }: SourceFile, signal: AbortSignal): Promise<string> {
    const digest = `sha256:${sha256}`;
    if ((await this.#sources.touch(digest)) !== undefined) return digest;
    let fetching = this.#fetching.get(digest);
    if (fetching === undefined) {
      fetching = this.#fetch(url, digest, signal).finally(() => this.#fetching.delete(digest));
      this.#fetching.set(digest, fetching);
    }
    await fetching;
    return digest;
  }

  /** Fetches a file whose digest is not known before, and says it. Throws `CiError`. */
  async fetch(
    { url, headers }: { url: string; headers: Readonly<Record<string, string>> },
    signal: AbortSignal,
  ): Promise<string> {
    const body = await bodyOf(url, headers, signal, 'the source');
    const dir = await mkdtemp(join(tmpdir(), 'pomona-source-'));
    try {
      const path = join(dir, 'source');
      const hash = createHash('sha256');
      await pipeline(
        body,
        async function* (pieces) {
          for await (const piece of pieces as AsyncIterable<Buffer>) {
            hash.update(piece);
            yield piece;
          }
        },
        createWriteStream(path),
        { signal },
      );
      const digest = `sha256:${hash.digest('hex')}`;
      if ((await this.#sources.touch(digest)) === undefined) {
        await this.#sources.put(digest, createReadStream(path));
      }
      return digest;
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }

  async #fetch(url: string, digest: string, signal: AbortSignal): Promise<void> {
    const body = await bodyOf(url, {}, signal, WHAT);
    try {
      await this.#sources.put(digest, body);
    } catch (cause) {
      if (cause instanceof ProblemError && cause.code === 'invalid') {
        const message = `${WHAT} at ${url} has not the checksum ${digest}; it is not used`;
        throw new CiError('bad_answer', message, { cause });
      }
      throw cause;
    }
  }
}

async function bodyOf(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  what: string,
): Promise<AsyncGenerator<Buffer, void>> {
  let response: Response;
  try {
    response = await fetch(url, { headers, signal });
  } catch (cause) {
    throw new CiError('unavailable', `${what} cannot be fetched from ${url}`, { cause });
  }
  if (!response.ok || response.body === null) {
    throw new CiError('unavailable', `${what} at ${url}: the answer is ${response.status}`);
  }
  return buffers(response.body);
}

async function* buffers(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  for await (const piece of body) yield Buffer.from(piece);
}
