import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { z } from 'zod';
import { BlobError, type BlobStore } from '../drivers/blob/blob.ts';
import { decodeManifest, encodeManifest, imageDigest, type Manifest } from './format/manifest.ts';
import { decodePlacement, encodePlacement, type Placement } from './format/placement.ts';
import { ImageError, imageNameText, type ImageName } from './reference.ts';

const compress = promisify(zstdCompress);
const expand = promisify(zstdDecompress);
const BEST = { params: { [constants.ZSTD_c_compressionLevel]: 9 } };

const tagSchema = z.strictObject({
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  /** Name of the objects that describe it: each push makes its own. */
  image: z.string().regex(/^[0-9a-f]{32}$/),
  /** Bytes of the image's files. */
  size: z.number(),
  pushedAt: z.iso.datetime(),
});
export type RemoteTag = z.output<typeof tagSchema> & ImageName;

/**
 * The layout of images in a blob store:
 *
 * | key                     | what                                                        |
 * |-------------------------|-------------------------------------------------------------|
 * | `tags/NAME/TAG.json`    | the digest that a name has now; written last                |
 * | `images/ID.manifest`    | zstd of the manifest                                        |
 * | `images/ID.placement`   | zstd of where its chunks are                                |
 * | `packs/XX/NAME.pack`    | stored chunks, one after the other; never changed           |
 * | `pushes/ID.json`        | a push that is under way; `.beat`: that it is alive         |
 * | `marks/NAME.json`       | a pack that nothing refers to, to be removed by a later gc  |
 */
export class Repository {
  readonly blobs: BlobStore;

  constructor(blobs: BlobStore) {
    this.blobs = blobs;
  }

  async tag(name: ImageName, signal?: AbortSignal): Promise<RemoteTag> {
    try {
      const json = await this.blobs.get(tagKey(name), signal);
      return { ...name, ...tagSchema.parse(JSON.parse(json.toString('utf8'))) };
    } catch (error) {
      if (!isMissingBlob(error)) throw error;
      const known = (await this.tags(signal)).map(imageNameText);
      throw new ImageError(
        `${this.blobs.location} has no image ${imageNameText(name)}; it has ${known.slice(0, 10).join(', ') || 'none'}`,
        { cause: error },
      );
    }
  }

  /** Every tag, newest push first. */
  async tags(signal?: AbortSignal): Promise<RemoteTag[]> {
    const tags: RemoteTag[] = [];
    for await (const { key } of this.blobs.list('tags/', signal)) {
      const [, name, tag] = /^tags\/([^/]+)\/([^/]+)\.json$/.exec(key) ?? [];
      if (name === undefined || tag === undefined) continue;
      const json = await getIfThere(this.blobs, key, signal);
      if (json === undefined) continue;
      tags.push({ name, tag, ...tagSchema.parse(JSON.parse(json.toString('utf8'))) });
    }
    return tags.toSorted((a, b) => (a.pushedAt < b.pushedAt ? 1 : -1));
  }

  async putTag({ name, tag, ...record }: RemoteTag, signal?: AbortSignal): Promise<void> {
    const json = Buffer.from(JSON.stringify(record));
    await this.blobs.put(tagKey({ name, tag }), json, signal);
  }

  async deleteTag(name: ImageName): Promise<void> {
    await this.tag(name);
    await this.blobs.delete(tagKey(name));
  }

  /** What an image holds, verified. */
  async manifest({ image, digest }: RemoteTag, signal?: AbortSignal): Promise<Manifest> {
    const key = manifestKey(image);
    const bytes = await this.#expanded(key, await this.blobs.get(key, signal));
    if (imageDigest(bytes) !== digest) {
      throw new ImageError(`${this.blobs.location}/${key} is damaged; push the image again`);
    }
    return decodeManifest(bytes);
  }

  async placement({ image }: RemoteTag, signal?: AbortSignal): Promise<Placement> {
    const key = placementKey(image);
    return decodePlacement(await this.#expanded(key, await this.blobs.get(key, signal)));
  }

  /** Describes an image under a new name, for a tag to refer to. Returns the name. */
  async putImage(manifest: Manifest, placement: Placement, signal?: AbortSignal): Promise<string> {
    const image = randomBytes(16).toString('hex');
    const places = await compress(encodePlacement(placement), BEST);
    await this.blobs.put(placementKey(image), places, signal);
    const content = await compress(encodeManifest(manifest), BEST);
    await this.blobs.put(manifestKey(image), content, signal);
    return image;
  }

  async #expanded(key: string, bytes: Buffer): Promise<Buffer> {
    try {
      return await expand(bytes);
    } catch (cause) {
      throw new ImageError(`${this.blobs.location}/${key} is damaged; push the image again`, {
        cause,
      });
    }
  }
}

function tagKey({ name, tag }: ImageName): string {
  return `tags/${name}/${tag}.json`;
}
export function manifestKey(image: string): string {
  return `images/${image}.manifest`;
}
export function placementKey(image: string): string {
  return `images/${image}.placement`;
}
export function packKey(pack: string): string {
  return `packs/${pack.slice(0, 2)}/${pack}.pack`;
}

export function isMissingBlob(error: unknown): boolean {
  return error instanceof BlobError && error.code === 'missing';
}

export async function getIfThere(
  blobs: BlobStore,
  key: string,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  try {
    return await blobs.get(key, signal);
  } catch (error) {
    if (isMissingBlob(error)) return undefined;
    throw error;
  }
}
