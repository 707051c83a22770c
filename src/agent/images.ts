import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NAME_PATTERN } from '../domain/ids.ts';
import { EMPTY_IMAGE } from '../domain/pool.ts';
import type { ImageRef } from '../domain/worker.ts';
import { isMissing, readJson, writeJson } from '../platform/atomic-file.ts';
import { copyTree, digestTree, removeTree } from '../platform/tree.ts';

/** An image for sandboxes is these two directories. */
const PARTS = ['home', 'prefix'] as const;

/** As `digestTree` gives it for two empty directories of these names. */
const EMPTY_DIGEST = `sha256:${createHash('sha256')
  .update('pomona-tree-1\0home\0dir\0prefix\0dir\0')
  .digest('hex')}`;

/** Thrown when a directory cannot become an image. */
export class ImageError extends Error {
  readonly code = 'image';
}

/**
 * The images of a host: `images/<name>.json` names a digest, `images/content/<hex>` is its content,
 * never changed once it is there. `empty` is built in.
 */
export class Images {
  readonly #dir: string;

  constructor(dataDir: string) {
    this.#dir = join(dataDir, 'images');
  }

  /** The folder to watch for imports by other processes. */
  get dir(): string {
    return this.#dir;
  }

  async list(): Promise<ImageRef[]> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const images: ImageRef[] = [{ name: EMPTY_IMAGE, digest: EMPTY_DIGEST }];
    for (const file of (await readdir(this.#dir)).toSorted()) {
      if (!file.endsWith('.json')) continue;
      const record = await readJson<{ digest: string }>(join(this.#dir, file));
      if (record !== undefined) images.push({ name: file.slice(0, -5), digest: record.digest });
    }
    return images;
  }

  /** Takes in a directory that holds `home`, `prefix` or both. Throws `ImageError`. */
  async import(name: string, from: string): Promise<ImageRef> {
    if (!NAME_PATTERN.test(name) || name === EMPTY_IMAGE) {
      throw new ImageError(
        `${name} is no name for an image; use lower-case letters, digits, ".", "_" and "-"`,
      );
    }
    await checkLayout(from);
    const content = join(this.#dir, 'content');
    await mkdir(content, { recursive: true, mode: 0o700 });
    const temporary = join(content, `new-${process.pid}`);
    await removeTree(temporary);
    await mkdir(temporary);
    try {
      await copyTree(from, temporary, { reflink: false });
      for (const part of PARTS) await mkdir(join(temporary, part), { recursive: true });
      // Of the copy, not of the original, which may change meanwhile.
      const digest = await digestTree(temporary);
      const place = this.#content(digest);
      if (!(await exists(place))) await rename(temporary, place);
      await writeJson(join(this.#dir, `${name}.json`), { digest }, { flush: true });
      return { name, digest };
    } finally {
      await removeTree(temporary);
    }
  }

  /** Writes the content of an image into an empty directory. */
  async fill(name: string, digest: string, into: string): Promise<void> {
    if (digest === EMPTY_DIGEST) {
      for (const part of PARTS) await mkdir(join(into, part));
      return;
    }
    const content = this.#content(digest);
    if (!(await exists(content))) {
      throw new ImageError(`image ${name} (${digest}) is not on this host; import it`);
    }
    await copyTree(content, into, { reflink: false });
  }

  #content(digest: string): string {
    return join(this.#dir, 'content', digest.replace('sha256:', ''));
  }
}

async function checkLayout(from: string): Promise<void> {
  let entries: string[];
  try {
    entries = await readdir(from);
  } catch (cause) {
    throw new ImageError(`${from} is no directory that can be read`, { cause });
  }
  const odd = entries.filter((entry) => !(PARTS as readonly string[]).includes(entry));
  if (entries.length === 0 || odd.length > 0) {
    const has = entries.length === 0 ? 'nothing' : odd.slice(0, 5).join(', ');
    throw new ImageError(
      `${from} must hold "home" (a home directory), "prefix" (a tools prefix) or both, and nothing else; it holds ${has}`,
    );
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
