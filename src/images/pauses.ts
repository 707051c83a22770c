import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import { namesIn } from '../platform/names-in.ts';
import { isAlive } from '../platform/process-table.ts';
import { imageNameText, type ImageName } from './reference.ts';

const pauseSchema = z.strictObject({
  /** `NAME:TAG` */
  image: z.string(),
  text: z.string(),
  where: z.string(),
  mac: z.string().optional(),
  problem: z.string().optional(),
  machine: z.string(),
  /** Identity of the process that waits. */
  waits: z.string(),
  /** Wall-clock milliseconds. */
  since: z.number(),
});

/** A build of an image that waits for a person. */
export type ImagePause = z.output<typeof pauseSchema>;

/** Builds of this host that wait for persons: a file each, which goes when the person is done. */
export class Pauses {
  readonly #dir: string;

  constructor(imagesDir: string) {
    this.#dir = join(imagesDir, 'recipes', 'paused');
  }

  async all(): Promise<ImagePause[]> {
    const found: ImagePause[] = [];
    for (const name of (await namesIn(this.#dir)).toSorted()) {
      const parsed = pauseSchema.safeParse(await readJson(join(this.#dir, name)));
      if (parsed.success && (await isAlive(parsed.data.waits))) found.push(parsed.data);
    }
    return found;
  }

  async find(name: ImageName): Promise<ImagePause | undefined> {
    return (await this.all()).find(({ image }) => image === imageNameText(name));
  }

  async begin(name: ImageName, pause: ImagePause): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await writeJson(this.#path(name), pause);
  }

  /** The person is done, or nobody waits any more. */
  async end(name: ImageName): Promise<void> {
    await rm(this.#path(name), { force: true });
  }

  #path(name: ImageName): string {
    return join(this.#dir, `${imageNameText(name)}.json`);
  }
}
