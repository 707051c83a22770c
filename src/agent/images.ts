import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { EMPTY_IMAGE } from '../domain/pool.ts';
import type { ImageRef } from '../domain/worker.ts';
import {
  encodeManifest,
  imageDigest,
  imageSize,
  type Manifest,
} from '../images/format/manifest.ts';
import { LocalImages } from '../images/local-images.ts';
import { ImageError, shortImageName } from '../images/reference.ts';
import { copyTree } from '../platform/tree.ts';

/** An image for sandboxes is a tree of these two directories. */
const PARTS = ['home', 'prefix'] as const;

const EMPTY: Manifest = {
  kind: 'tree',
  entries: PARTS.map((part) => ({
    ...{ type: 'directory', path: Buffer.from(part), mode: 0o755, mtimeMs: 0 },
  })),
};
const EMPTY_DIGEST = imageDigest(encodeManifest(EMPTY));

/** The images that workers of this host are made from; `empty` is built in. */
export class Images {
  readonly #local: LocalImages;
  /** Contents never change. */
  readonly #bytes = new Map<string, number>();

  constructor(dataDir: string) {
    this.#local = new LocalImages(join(dataDir, 'images'));
  }

  get dir(): string {
    return this.#local.dir;
  }

  /** The folder below which imports and pulls by other processes show; it exists. */
  async watchedDir(): Promise<string> {
    const dir = join(this.#local.dir, 'tags');
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  }

  /** Each by its name, and by its tag unless that is `latest`. */
  async list(): Promise<ImageRef[]> {
    const images: ImageRef[] = [{ name: EMPTY_IMAGE, digest: EMPTY_DIGEST }];
    for (const tag of await this.#local.tags()) {
      const { digest } = tag;
      if (!(await this.#local.has(digest))) continue;
      images.push({ name: shortImageName(tag), digest });
    }
    return images;
  }

  /** Bytes of images' contents, by digest. */
  async bytesOf(images: readonly ImageRef[]): Promise<Record<string, number>> {
    for (const { digest } of images) {
      if (digest === EMPTY_DIGEST || this.#bytes.has(digest)) continue;
      const manifest = await this.#local.manifest(digest).catch(() => undefined);
      if (manifest !== undefined) this.#bytes.set(digest, imageSize(manifest));
    }
    return Object.fromEntries(
      images.flatMap(({ digest }) => {
        const bytes = this.#bytes.get(digest);
        return bytes === undefined ? [] : [[digest, bytes] as const];
      }),
    );
  }

  /** The file or directory of an image for virtual machines, never to be changed. Throws `ImageError`. */
  async pathOf(name: string, digest: string): Promise<string> {
    await this.#mustHave(name, digest);
    await this.#local.markUsed(digest);
    return this.#local.dataPath(digest);
  }

  /** Writes the content of an image for sandboxes into an empty directory. Throws `ImageError`. */
  async fill(name: string, digest: string, into: string): Promise<void> {
    if (digest !== EMPTY_DIGEST) {
      await this.#mustHave(name, digest);
      await this.#local.markUsed(digest);
      checkLayout(name, await this.#local.manifest(digest));
      await copyTree(this.#local.dataPath(digest), into, { reflink: false });
      // Images are the agent's own; workers' users pass through to what is theirs.
      await chmod(into, 0o711);
    }
    for (const part of PARTS) await mkdir(join(into, part), { recursive: true });
  }

  async #mustHave(name: string, digest: string): Promise<void> {
    if (await this.#local.has(digest)) return;
    throw new ImageError(`image ${name} (${digest}) is not on this host; import or pull it`);
  }
}

function checkLayout(name: string, { kind, entries }: Manifest): void {
  const top = entries.map(({ path }) => path.toString()).filter((path) => !path.includes('/'));
  const odd = top.filter((path) => !(PARTS as readonly string[]).includes(path));
  if (kind === 'tree' && top.length > 0 && odd.length === 0) return;
  const has =
    kind === 'file' ? 'it is a disk' : `it holds ${odd.slice(0, 5).join(', ') || 'nothing'}`;
  throw new ImageError(
    `image ${name} is none for sandboxes: it must hold "home" (a home directory), "prefix" (a tools prefix) or both, and nothing else; ${has}`,
  );
}
