import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { layoutOf } from '../directory.ts';
import { FetchError, type FetchDriver, type Fetcher, type FetchOptions } from '../fetch.ts';
import { KnownDigests } from '../known-digests.ts';
import { readTar, type Compression } from './read-tar.ts';
import { TreeWriter } from './tree-writer.ts';

const NAMES = /\.(tar|tgz|tar\.gz|tar\.zst)$/;
const MAGIC = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
] as const;
/** Of what cannot be read here, to name it. */
const OTHERS = [
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
  ['bzip2', Buffer.from('BZh')],
] as const;
const MAGIC_BYTES = 6;

/** A tar file of this machine, plain or packed by gzip or zstd. */
export const tarballDriver: FetchDriver = {
  name: 'tar',
  form: 'tar:FILE, or a path that ends with .tar, .tar.gz, .tgz or .tar.zst',
  readsHost: true,
  accepts: (ref) => ref.startsWith('tar:') || (/^\.{0,2}\//.test(ref) && NAMES.test(ref)),
  probe: async () => ({
    ...{ name: 'tar', rank: 10, available: true },
    detail: 'bases are unpacked from tar files of this machine',
  }),
  open: ({ cacheDir }) => new TarballFetcher(new KnownDigests(cacheDir)),
};

class TarballFetcher implements Fetcher {
  readonly name = 'tar';
  readonly #known: KnownDigests;

  constructor(known: KnownDigests) {
    this.#known = known;
  }

  async resolve(ref: string, signal: AbortSignal) {
    const path = await find(ref.replace(/^tar:/, ''));
    const digest = await this.#known.of(path, async () => {
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Buffer);
      return `sha256:${hash.digest('hex')}`;
    });
    return { digest, pinned: `tar:${path}@${digest}` };
  }

  async fetch(pinned: string, dir: string, { signal, onProgress }: FetchOptions) {
    const [, path = '', wanted = ''] = /^tar:(.*)@(sha256:[0-9a-f]{64})$/s.exec(pinned) ?? [];
    const { compression, totalBytes } = await lookAt(path);
    const hash = createHash('sha256');
    let doneBytes = 0;
    const packed = createReadStream(path).pipe(
      new Transform({
        transform(chunk: Buffer, _encoding, done) {
          hash.update(chunk);
          doneBytes += chunk.length;
          onProgress({ doneBytes, totalBytes });
          done(undefined, chunk);
        },
      }),
    );
    const writer = new TreeWriter(dir);
    await readTar(packed, compression, signal, (entry) => writer.write(entry));
    await writer.finish();
    const digest = `sha256:${hash.digest('hex')}`;
    if (digest !== wanted) {
      throw new FetchError('corrupt', `${path} changed while it was read; build again`);
    }
    return { layout: await layoutOf(dir), env: {} };
  }
}

async function find(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new FetchError('missing', `the base ${path} is no file that can be read`, { cause });
  }
}

async function lookAt(path: string): Promise<{ compression: Compression; totalBytes: number }> {
  await using file = await open(path).catch((cause: unknown) => {
    throw new FetchError('missing', `${path} cannot be read`, { cause });
  });
  const { buffer } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
  const begins = (magic: Buffer) => buffer.subarray(0, magic.length).equals(magic);
  const other = OTHERS.find(([, magic]) => begins(magic));
  if (other !== undefined) {
    throw new FetchError('refused', `${path} is packed by ${other[0]}; pack it by gzip or zstd`);
  }
  const { size } = await file.stat();
  return { compression: MAGIC.find(([, magic]) => begins(magic))?.[0] ?? 'none', totalBytes: size };
}
