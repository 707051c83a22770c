import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';

/** Fills a directory with what one layer has, whiteouts included. */
export type Fill = (dir: string) => void;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const architecture = process.arch === 'x64' ? 'amd64' : process.arch;

/** An OCI image layout of layers that the system's tar packs. */
export function makeLayout(dir: string, layers: readonly Fill[], env: readonly string[] = []) {
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const blob = (bytes: Uint8Array, mediaType: string): Descriptor => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(dir, 'blobs/sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown, mediaType: string) =>
    blob(Buffer.from(JSON.stringify(value)), mediaType);
  const packed = layers.map((fill, index) => {
    const tar = packLayer(fill);
    const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
    const kind = 'application/vnd.oci.image.layer.v1.tar';
    const layer = [
      () => blob(gzipSync(tar), `${kind}+gzip`),
      () => blob(zstdCompressSync(tar), `${kind}+zstd`),
      () => blob(tar, kind),
    ][index % 3]?.();
    if (layer === undefined) throw new Error('no layer');
    return { diffId, layer };
  });
  const config = json(
    {
      ...{ os: 'linux', architecture, config: { Env: env } },
      rootfs: { type: 'layers', diff_ids: packed.map(({ diffId }) => diffId) },
    },
    'application/vnd.oci.image.config.v1+json',
  );
  const manifest = json(
    { schemaVersion: 2, mediaType: MANIFEST, config, layers: packed.map(({ layer }) => layer) },
    MANIFEST,
  );
  const index = json(
    {
      ...{ schemaVersion: 2, mediaType: INDEX },
      manifests: [
        {
          ...manifest,
          digest: `sha256:${'0'.repeat(64)}`,
          platform: { os: 'linux', architecture: 's390x' },
        },
        { ...manifest, platform: { os: 'linux', architecture } },
      ],
    },
    INDEX,
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
  writeFileSync(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations }] }),
  );
  return { manifest, index, layers: packed.map(({ layer }) => layer) };
}

function packLayer(fill: Fill): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-layer-'));
  try {
    fill(dir);
    return execFileSync('tar', ['-C', dir, '--numeric-owner', '-cf', '-', '.'], {
      maxBuffer: 2 ** 28,
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** A container registry over a layout, with a token, that may be told to misbehave. */
export class RegistryServer {
  /** Answers a request in place of the registry when it returns true. */
  trouble: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #dir: string;

  static async start(dir: string): Promise<RegistryServer> {
    const registry = new RegistryServer(dir);
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  private constructor(dir: string) {
    this.#dir = dir;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? '';
    this.requests.push(
      `${url}${request.headers.range === undefined ? '' : ` ${request.headers.range}`}`,
    );
    if (url.startsWith('/token')) {
      response.end(JSON.stringify({ token: 'let-me-in' }));
      return;
    }
    if (request.headers.authorization !== 'Bearer let-me-in') {
      response.writeHead(401, {
        'www-authenticate': `Bearer realm="http://${this.host}/token",service="test",scope="repository:team/app:pull"`,
      });
      response.end();
      return;
    }
    if (this.trouble(request, response)) return;
    const [, kind, reference = ''] = /^\/v2\/team\/app\/(manifests|blobs)\/(.*)$/.exec(url) ?? [];
    const index = JSON.parse(readFileSync(join(this.#dir, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    const digest = reference === 'v1' ? index.manifests[0]?.digest : reference;
    try {
      if (kind === undefined) throw new Error('no such place');
      const bytes = readFileSync(join(this.#dir, 'blobs', (digest ?? '').replace(':', '/')));
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': bytes.length - from });
      response.end(bytes.subarray(from));
    } catch {
      response.writeHead(404).end('{"errors":[{"code":"NAME_UNKNOWN"}]}');
    }
  }
}
