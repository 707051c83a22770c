import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing, readJson, writeFileAtomic, writeJson } from '../platform/atomic-file.ts';
import { isThere } from '../platform/is-there.ts';
import { namesIn } from '../platform/names-in.ts';
import { removeTree } from '../platform/tree.ts';
import { decodeManifest, encodeManifest, imageDigest, type Manifest } from './format/manifest.ts';
import { ImageError, imageNameText, parseImageName, type ImageName } from './reference.ts';
import { signaturesOf, type Signatures } from './signatures.ts';

export interface LocalTag extends ImageName {
  readonly digest: string;
}

const tagSchema = z.strictObject({ digest: z.string() });

/**
 * The images of this machine:
 *
 * | path                     | what                                                           |
 * |--------------------------|----------------------------------------------------------------|
 * | `tags/NAME/TAG.json`     | the digest that a name has now                                 |
 * | `content/HEX/manifest`   | what it holds                                                  |
 * | `content/HEX/data`       | the file or the tree itself, never changed                     |
 * | `content/HEX/files.json` | how the files looked when they were known to be right          |
 * | `content/HEX/secrets.json` | what was found in it that looks like a secret                |
 * | `content/HEX/pulled.json` | it came from a remote, and can be brought again               |
 * | `content/HEX/used.json`  | its time: when a worker was made from it last                  |
 * | `incoming/HEX/`          | a pull that is under way or was interrupted                    |
 * | `new/`                   | imports under way                                              |
 *
 * An image appears in `content` by a rename, whole.
 */
export class LocalImages {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  async tags(): Promise<LocalTag[]> {
    const tags: LocalTag[] = [];
    for (const name of await namesIn(join(this.dir, 'tags'))) {
      for (const file of await namesIn(join(this.dir, 'tags', name))) {
        if (!file.endsWith('.json')) continue;
        const record = await readJson(join(this.dir, 'tags', name, file));
        const parsed = tagSchema.safeParse(record);
        if (parsed.success) tags.push({ name, tag: file.slice(0, -5), ...parsed.data });
      }
    }
    return tags;
  }

  /** The digest that a name has; `sha256:<hex>` of an image that is here stands for itself. */
  async resolve(text: string): Promise<string> {
    if (text.startsWith('sha256:')) {
      if (await this.has(text)) return text;
      throw new ImageError(`there is no image ${text} here; see \`pomona image list\``);
    }
    const name = parseImageName(text);
    const record = tagSchema.safeParse(await readJson(this.#tagPath(name)));
    if (record.success && (await this.has(record.data.digest))) return record.data.digest;
    const known = (await this.tags()).map(imageNameText).join(', ');
    throw new ImageError(
      `there is no image ${imageNameText(name)} here; there is ${known || 'none'}; import or pull it first`,
    );
  }

  async setTag(name: ImageName, digest: string): Promise<void> {
    await mkdir(join(this.dir, 'tags', name.name), { recursive: true });
    await writeJson(this.#tagPath(name), { digest }, { flush: true });
  }

  /** Throws `ImageError` when there is no such tag. */
  async removeTag(name: ImageName): Promise<void> {
    try {
      await rm(this.#tagPath(name));
    } catch (error) {
      if (!isMissing(error)) throw error;
      throw new ImageError(`there is no image ${imageNameText(name)} here`, { cause: error });
    }
  }

  async has(digest: string): Promise<boolean> {
    return isThere(join(this.contentDir(digest), 'manifest'));
  }

  async manifest(digest: string): Promise<Manifest> {
    return decodeManifest(await readFile(join(this.contentDir(digest), 'manifest')));
  }

  /** The image's file, or the root of its tree. Not to be changed. */
  dataPath(digest: string): string {
    return join(this.contentDir(digest), 'data');
  }

  contentDir(digest: string): string {
    return join(this.dir, 'content', hexOf(digest));
  }

  /** How its large files looked when they were known to be right. */
  async signatures(digest: string): Promise<Signatures> {
    return (await readJson<Signatures>(join(this.contentDir(digest), 'files.json'))) ?? {};
  }

  async digests(): Promise<string[]> {
    const names = await namesIn(join(this.dir, 'content'));
    return names.map((hex) => `sha256:${hex}`);
  }

  /** A directory for an import to fill; give it to `adopt`, or remove it. */
  async newDir(): Promise<string> {
    const dir = join(this.dir, 'new', `${process.pid}-${randomBytes(6).toString('hex')}`);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  }

  incomingDir(digest: string): string {
    return join(this.dir, 'incoming', hexOf(digest));
  }

  /** Makes `dir`, whose `data` is what the manifest says and is flushed, an image of this store. */
  async adopt(dir: string, manifest: Manifest): Promise<string> {
    const bytes = encodeManifest(manifest);
    const digest = imageDigest(bytes);
    await writeJson(join(dir, 'files.json'), await signaturesOf(join(dir, 'data'), manifest));
    await writeFileAtomic(join(dir, 'manifest'), bytes, { flush: true });
    await mkdir(join(this.dir, 'content'), { recursive: true, mode: 0o700 });
    if (await this.has(digest)) await removeTree(dir);
    else await rename(dir, this.contentDir(digest));
    return digest;
  }

  /**
   * Removes images that no tag names, and what dead imports left; with `among` only of those. An
   * import has its content a moment before its tag. Returns the images' digests.
   */
  async removeUntagged(among?: ReadonlySet<string>): Promise<string[]> {
    for (const name of await namesIn(join(this.dir, 'new'))) {
      if (!isAlive(Number(name.split('-')[0]))) await removeTree(join(this.dir, 'new', name));
    }
    const tagged = new Set((await this.tags()).map((tag) => tag.digest));
    const removed: string[] = [];
    for (const digest of await this.digests()) {
      if (tagged.has(digest) || among?.has(digest) === false) continue;
      await this.#removeContent(digest);
      removed.push(digest);
    }
    return removed;
  }

  /** Removes an image with its names. */
  async remove(digest: string): Promise<void> {
    for (const tag of await this.tags()) {
      if (tag.digest === digest) await this.removeTag(tag);
    }
    await this.#removeContent(digest);
  }

  /** Remembers that a remote has it: it can be brought again. */
  async markPulled(digest: string): Promise<void> {
    await writeJson(join(this.contentDir(digest), 'pulled.json'), {});
  }

  async wasPulled(digest: string): Promise<boolean> {
    return isThere(join(this.contentDir(digest), 'pulled.json'));
  }

  /** Remembers that it is used now. */
  async markUsed(digest: string): Promise<void> {
    await writeJson(join(this.contentDir(digest), 'used.json'), {});
  }

  /** When it was used last, or else came here; wall-clock milliseconds. */
  async usedAt(digest: string): Promise<number> {
    const dir = this.contentDir(digest);
    const used = await stat(join(dir, 'used.json')).catch(() => stat(join(dir, 'manifest')));
    return used.mtimeMs;
  }

  /** Out of its place first: a removal that is cut off leaves nothing that looks whole. */
  async #removeContent(digest: string): Promise<void> {
    const dir = await this.newDir();
    await rename(this.contentDir(digest), join(dir, 'old'));
    await removeTree(dir);
  }

  #tagPath({ name, tag }: ImageName): string {
    return join(this.dir, 'tags', name, `${tag}.json`);
  }
}

function hexOf(digest: string): string {
  return digest.replace('sha256:', '');
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
