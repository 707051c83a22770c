import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { isMissing } from '../../../platform/atomic-file.ts';
import { FetchError, type FetchDriver, type Fetcher, type FetchOptions } from '../fetch.ts';
import { readIndex, type Descriptor } from './format.ts';
import { fetchImage, resolveImage, type ImageSource } from './image.ts';

const TAG = 'org.opencontainers.image.ref.name';

/** A directory in the OCI image layout, as `skopeo copy` and `buildah push` write it. */
export const ociLayoutDriver: FetchDriver = {
  name: 'oci',
  form: 'oci:DIR[:TAG] or oci:DIR@sha256:...',
  readsHost: true,
  accepts: (ref) => ref.startsWith('oci:'),
  probe: async () => ({
    ...{ name: 'oci', rank: 10, available: true },
    detail: 'bases are read from OCI image layouts on this machine',
  }),
  open: () => new LayoutFetcher(),
};

class LayoutFetcher implements Fetcher {
  readonly name = 'oci';

  async resolve(ref: string, signal: AbortSignal) {
    const { dir, reference } = parseRef(ref);
    const digest = await resolveImage(new LayoutSource(dir), reference, signal);
    return { digest, pinned: `oci:${dir}@${digest}` };
  }

  fetch(pinned: string, dir: string, options: FetchOptions) {
    const { dir: layout, reference } = parseRef(pinned);
    return fetchImage(new LayoutSource(layout), reference, dir, options);
  }
}

function parseRef(ref: string): { dir: string; reference: string } {
  const [, dir = '', digest, tag] =
    /^oci:(.*?)(?:@(sha256:[0-9a-f]{64})|:([\w][\w.-]*))?$/s.exec(ref) ?? [];
  return { dir: resolve(dir), reference: digest ?? tag ?? '' };
}

class LayoutSource implements ImageSource {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async manifest(reference: string): Promise<Uint8Array> {
    if (reference.startsWith('sha256:')) return this.#read(this.#blobPath(reference));
    const index = await this.#read(join(this.#dir, 'index.json'));
    const manifests = readIndex(index, join(this.#dir, 'index.json'));
    const found =
      reference === '' && manifests.length === 1
        ? manifests[0]
        : manifests.find(({ annotations }) => annotations?.[TAG] === (reference || 'latest'));
    if (found !== undefined) return this.#read(this.#blobPath(found.digest));
    const tags = manifests.flatMap(({ annotations }) => annotations?.[TAG] ?? []);
    throw new FetchError(
      'missing',
      `${this.#dir} has no tag ${reference || 'latest'} (it has: ${tags.join(', ') || 'none'})`,
    );
  }

  async blob(
    { digest, size }: Descriptor,
    { signal, onBytes }: { readonly signal: AbortSignal; onBytes(count: number): void },
  ): Promise<string> {
    const path = this.#blobPath(digest);
    const there = await stat(path).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
    if (there === undefined) throw new FetchError('missing', `${path} is missing`);
    if (there.size !== size) {
      throw new FetchError('corrupt', `${path} has ${there.size} bytes, and should have ${size}`);
    }
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { signal })) {
      hash.update(chunk as Buffer);
      onBytes((chunk as Buffer).length);
    }
    if (`sha256:${hash.digest('hex')}` === digest) return path;
    throw new FetchError('corrupt', `${path} is not what its name says`);
  }

  #blobPath(digest: string): string {
    return join(this.#dir, 'blobs', digest.replace(':', '/'));
  }

  async #read(path: string): Promise<Uint8Array> {
    try {
      return await readFile(path);
    } catch (cause) {
      throw new FetchError('missing', `${path} cannot be read; is it in an OCI image layout?`, {
        cause,
      });
    }
  }
}
