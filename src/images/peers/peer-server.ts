import { once } from 'node:events';
import { open } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { limiter } from '../../platform/limiter.ts';
import { sharedKeyServer } from '../../platform/shared-key-tls.ts';
import { CHUNK_BYTES } from '../format/chunk.ts';
import type { Manifest } from '../format/manifest.ts';
import type { LocalImages } from '../local-images.ts';
import { below } from '../paths.ts';
import { parseChunkPath, type ChunkRange } from './chunk-source.ts';

/** Ranges in memory at once. */
const READS = 8;
/** Manifests remembered: hosts that bring an image ask for much of it. */
const MANIFESTS = 4;

/** Gives chunks of this host's images to hosts that have the fleet's key. */
export class PeerServer {
  readonly #images: LocalImages;
  readonly #server: Server;
  readonly #inTurn = limiter(READS);
  readonly #manifests = new Map<string, Manifest>();

  private constructor(images: LocalImages, key: Buffer) {
    this.#images = images;
    this.#server = createServer(sharedKeyServer(key), (request, response) => {
      this.#inTurn(() => this.#answer(request, response)).catch(() => response.destroy());
    });
  }

  /** Listens; port 0 takes a free one. */
  static async listen(
    images: LocalImages,
    key: Buffer,
    { host, port }: { readonly host: string; readonly port: number },
  ): Promise<PeerServer> {
    const peer = new PeerServer(images, key);
    peer.#server.listen(port, host);
    await once(peer.#server, 'listening');
    return peer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const range = request.method === 'GET' ? parseChunkPath(request.url ?? '') : undefined;
    const bytes = range === undefined ? undefined : await this.#read(range).catch(() => undefined);
    if (bytes === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-length': bytes.length });
    response.end(bytes);
    await once(response, 'close');
  }

  async #read({ digest, entry, first, count }: Omit<ChunkRange, 'length'>) {
    const file = (await this.#manifest(digest)).entries[entry];
    if (file?.type !== 'file') return undefined;
    const begin = first * CHUNK_BYTES;
    const length = Math.min(count * CHUNK_BYTES, file.size - begin);
    if (length <= 0) return undefined;
    const handle = await open(below(this.#images.dataPath(digest), file.path), 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, begin);
      return bytesRead === length ? buffer : undefined;
    } finally {
      await handle.close();
    }
  }

  async #manifest(digest: string): Promise<Manifest> {
    const known = this.#manifests.get(digest);
    if (known !== undefined && (await this.#images.has(digest))) return known;
    const manifest = await this.#images.manifest(digest);
    const [oldest] = this.#manifests.keys();
    if (this.#manifests.size >= MANIFESTS && oldest !== undefined) this.#manifests.delete(oldest);
    this.#manifests.set(digest, manifest);
    return manifest;
  }
}
