import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isMissing, readJson } from '../../../platform/atomic-file.ts';
import { Backoff } from '../../../platform/backoff.ts';
import { FetchError, type FetchDriver, type Fetcher, type FetchOptions } from '../fetch.ts';
import { MANIFEST_TYPES, type Descriptor } from './format.ts';
import { fetchImage, resolveImage, type ImageSource } from './image.ts';
import { parseRegistryRef, pinnedText, type RegistryRef } from './registry-ref.ts';

/** An image in a registry, by HTTP. Facts: the OCI distribution specification 1.1. */
export const registryDriver: FetchDriver = {
  name: 'registry',
  form: 'IMAGE[:TAG] or docker://HOST/IMAGE[:TAG|@sha256:...]',
  readsHost: false,
  accepts: (ref) => parseRegistryRef(ref) !== undefined,
  probe: async () => ({
    ...{ name: 'registry', rank: 10, available: true },
    detail: 'bases are pulled from container registries',
  }),
  open: ({ cacheDir }) => new RegistryFetcher(cacheDir),
};

const TRIES = 6;
/** An answer that does not begin within this time is asked for again. */
const PATIENCE_MS = 30_000;

class RegistryFetcher implements Fetcher {
  readonly name = 'registry';
  readonly #cacheDir: string;

  constructor(cacheDir: string) {
    this.#cacheDir = cacheDir;
  }

  async resolve(ref: string, signal: AbortSignal) {
    const image = refOf(ref);
    const source = new RegistrySource(image, this.#cacheDir);
    const digest = await resolveImage(source, image.reference, signal);
    return { digest, pinned: pinnedText(image, digest) };
  }

  fetch(pinned: string, dir: string, options: FetchOptions) {
    const image = refOf(pinned);
    const source = new RegistrySource(image, this.#cacheDir);
    return fetchImage(source, image.reference, dir, options);
  }
}

/** An image's parts in a registry, with the tag or digest that is meant. Throws `FetchError`. */
export function openRegistry(
  ref: string,
  cacheDir: string,
): { readonly source: ImageSource; readonly reference: string } {
  const image = refOf(ref);
  return { source: new RegistrySource(image, cacheDir), reference: image.reference };
}

function refOf(ref: string): RegistryRef {
  const image = parseRegistryRef(ref);
  if (image !== undefined) return image;
  throw new FetchError('missing', `${ref} names no image; expected such as debian:12`);
}

/** A request that is worth another try. */
class Retryable extends Error {}

class RegistrySource implements ImageSource {
  readonly #ref: RegistryRef;
  readonly #cacheDir: string;
  #authorization: string | undefined;

  constructor(ref: RegistryRef, cacheDir: string) {
    this.#ref = ref;
    this.#cacheDir = cacheDir;
  }

  manifest(reference: string, signal: AbortSignal): Promise<Uint8Array> {
    return this.#persist(signal, async () => {
      const headers = { accept: MANIFEST_TYPES.join(', ') };
      const response = await this.#ask(`manifests/${reference}`, headers, signal);
      return Buffer.from(await response.arrayBuffer());
    });
  }

  /** Goes on where an interrupted transfer stopped. */
  async blob(
    { digest, size }: Descriptor,
    { signal, onBytes }: { readonly signal: AbortSignal; onBytes(count: number): void },
  ): Promise<string> {
    const path = join(this.#cacheDir, 'blobs', digest.slice('sha256:'.length));
    await mkdir(join(this.#cacheDir, 'blobs'), { recursive: true, mode: 0o700 });
    if ((await sizeOf(path)) === size) {
      onBytes(size);
      // It is in use: whoever makes room sees that.
      await utimes(path, new Date(), new Date());
      return path;
    }
    const partial = `${path}.partial`;
    let told = 0;
    await this.#persist(signal, async () => {
      const have = (await sizeOf(partial)) ?? 0;
      if (have < size) {
        const range: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
        const response = await this.#ask(`blobs/${digest}`, range, signal);
        const flags = response.status === 206 ? 'a' : 'w';
        if (flags === 'w') told = 0;
        await pipeline(
          Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]),
          async function* (chunks: AsyncIterable<Buffer>) {
            for await (const chunk of chunks) {
              told += chunk.length;
              onBytes(chunk.length);
              yield chunk;
            }
          },
          createWriteStream(partial, { flags, mode: 0o600 }),
          { signal },
        );
      }
      const got = await digestOf(partial, signal);
      const length = (await sizeOf(partial)) ?? 0;
      if (length < size) throw new Retryable(`${digest} ended after ${length} of ${size} bytes`);
      if (got === digest && length === size) return;
      await rm(partial, { force: true });
      onBytes(-told);
      told = 0;
      const said = `what came as ${digest} has the digest ${got}`;
      // What was there before may have been wrong, or written by another process at the same time.
      if (have > 0) throw new Retryable(said);
      throw new FetchError('corrupt', said);
    });
    await rename(partial, path);
    return path;
  }

  /** Asks once, and once more with a token when the registry wants one. */
  async #ask(
    what: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> {
    const { host, name } = this.#ref;
    const local = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host);
    const url = `${local ? 'http' : 'https'}://${host}/v2/${name}/${what}`;
    const ask = () =>
      this.#send(
        url,
        {
          ...headers,
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        },
        signal,
      );
    let response = await ask();
    if (response.status === 401) {
      this.#authorization = await this.#authorize(response, signal);
      response = await ask();
    }
    if (response.ok) return response;
    const text = (await response.text()).slice(0, 200);
    const said = `${host} answers ${response.status} for ${name} (${what})${text === '' ? '' : `: ${text}`}`;
    if (response.status === 429 || response.status >= 500) throw new Retryable(said);
    if (response.status === 404) throw new FetchError('missing', said);
    throw new FetchError(
      'refused',
      `${said}; log in with \`docker login ${host}\` if it is private`,
    );
  }

  async #send(
    url: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> {
    const begun = new AbortController();
    const timer = setTimeout(() => begun.abort(), PATIENCE_MS);
    try {
      return await fetch(url, { headers, signal: AbortSignal.any([signal, begun.signal]) });
    } catch (cause) {
      if (signal.aborted) throw cause;
      throw new Retryable(`${this.#ref.host} cannot be reached: ${reasonOf(cause)}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async #authorize(response: Response, signal: AbortSignal): Promise<string | undefined> {
    const wanted = response.headers.get('www-authenticate') ?? '';
    const credentials = await credentialsFor(this.#ref.host);
    if (/^basic/i.test(wanted))
      return credentials === undefined ? undefined : `Basic ${credentials}`;
    const fields = new Map(
      [...wanted.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
    );
    const realm = fields.get('realm');
    if (!/^bearer/i.test(wanted) || realm === undefined || !URL.canParse(realm)) return undefined;
    const url = new URL(realm);
    for (const key of ['service', 'scope']) {
      const value = fields.get(key);
      if (value !== undefined) url.searchParams.set(key, value);
    }
    const headers: Record<string, string> =
      credentials === undefined ? {} : { authorization: `Basic ${credentials}` };
    const answer = await this.#send(url.href, headers, signal);
    if (!answer.ok) return undefined;
    const { token, access_token: access } = (await answer.json()) as Record<string, unknown>;
    const text = typeof token === 'string' ? token : access;
    return typeof text === 'string' ? `Bearer ${text}` : undefined;
  }

  async #persist<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const backoff = new Backoff(200, 10_000);
    for (let tried = 1; ; tried += 1) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted || error instanceof FetchError) throw error;
        if (tried < TRIES) {
          await backoff.wait(signal);
          continue;
        }
        throw new FetchError('unreachable', `${reasonOf(error)}; tried ${TRIES} times`, {
          cause: error,
        });
      }
    }
  }
}

/** What `docker login` keeps, if it keeps it in its file: `user:password` in base64. */
async function credentialsFor(host: string): Promise<string | undefined> {
  const dir = process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker');
  const config = await readJson<{ auths?: Record<string, { auth?: string }> }>(
    join(dir, 'config.json'),
  );
  const names = host === 'registry-1.docker.io' ? ['https://index.docker.io/v1/', 'docker.io'] : [];
  for (const name of [host, `https://${host}`, ...names]) {
    const auth = config?.auths?.[name]?.auth;
    if (auth !== undefined && auth !== '') return auth;
  }
  return undefined;
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && !(error instanceof Retryable)
    ? `${message}: ${cause.message}`
    : message;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}
