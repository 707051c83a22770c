import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { sharedKeyClient } from '../../platform/shared-key-tls.ts';
import { chunkPath, type ChunkRange, type ChunkSource } from './chunk-source.ts';

/** Where a host gives chunks, and of which images. */
export interface PeerAddress {
  /** `HOST:PORT`. */
  readonly address: string;
  readonly digests: readonly string[];
}

/** A peer that takes longer for a few megabytes is slower than the remote. */
const PATIENCE_MS = 20_000;
/** A peer that failed so often is asked no more. */
const MOST_FAILURES = 2;

/** The hosts that give chunks, asked in turn. `close` it when nothing more is wanted. */
export class Peers implements ChunkSource {
  readonly #agent: Agent;
  readonly #byDigest = new Map<string, string[]>();
  readonly #failures = new Map<string, number>();
  #asked = 0;

  constructor(key: Buffer, peers: readonly PeerAddress[]) {
    this.#agent = new Agent({ ...sharedKeyClient(key), keepAlive: true });
    for (const { address, digests } of peers) {
      for (const digest of digests) {
        this.#byDigest.set(digest, [...(this.#byDigest.get(digest) ?? []), address]);
      }
    }
  }

  has(digest: string): boolean {
    return this.#able(digest).length > 0;
  }

  async get(range: ChunkRange, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
    const able = this.#able(range.digest);
    this.#asked += 1;
    for (let tries = 0; tries < Math.min(2, able.length); tries += 1) {
      const address = able[(this.#asked + tries) % able.length] ?? '';
      try {
        const bytes = await this.#ask(address, range, signal);
        if (bytes.length === range.length) return bytes;
      } catch {
        signal?.throwIfAborted();
      }
      this.#failures.set(address, (this.#failures.get(address) ?? 0) + 1);
    }
    return undefined;
  }

  close(): void {
    this.#agent.destroy();
  }

  #able(digest: string): string[] {
    const known = this.#byDigest.get(digest) ?? [];
    return known.filter((address) => (this.#failures.get(address) ?? 0) < MOST_FAILURES);
  }

  async #ask(address: string, range: ChunkRange, signal: AbortSignal | undefined): Promise<Buffer> {
    const url = new URL(`https://${address}`);
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const request = get({
      ...{ host: url.hostname, port: url.port, path: chunkPath(range), agent: this.#agent },
      signal: signal === undefined ? patience : AbortSignal.any([signal, patience]),
    });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    return response.statusCode === 200 ? Buffer.concat(parts) : Buffer.alloc(0);
  }
}
