import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing, readJson, writeJson } from '../platform/atomic-file.ts';
import { imageNameText, type ImageName } from './reference.ts';

/** After a failure it is tried again so soon, if its time does not come sooner. */
const RETRY_MS = 3_600_000;

const recipeSchema = z.strictObject({
  name: z.string(),
  tag: z.string(),
  /** Absolute paths. */
  spec: z.string(),
  context: z.string(),
  /** `ID=FILE`, with absolute paths. */
  secrets: z.array(z.string()),
  store: z.string().optional(),
  sandbox: z.string().optional(),
  /** `TEAM@GUEST` of a file of profiles. */
  profile: z.string().optional(),
  everyMs: z.number().positive(),
  /** Dated tags that stay. */
  keep: z.int().min(0),
  /** Wall-clock milliseconds. */
  builtAt: z.number().optional(),
  /** Of the last try, when it failed. */
  failedAt: z.number().optional(),
  error: z.string().optional(),
});

/** How an image of this machine is made again, and when. */
export type Recipe = z.output<typeof recipeSchema>;

/** The recipes of this machine's images: a file each, `recipes/NAME.TAG.json`. */
export class Recipes {
  readonly dir: string;

  constructor(imagesDir: string) {
    this.dir = join(imagesDir, 'recipes');
  }

  async all(): Promise<Recipe[]> {
    const files = await readdir(this.dir).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      return [];
    });
    const recipes: Recipe[] = [];
    for (const file of files.toSorted().filter((name) => name.endsWith('.recipe.json'))) {
      const parsed = recipeSchema.safeParse(await readJson(join(this.dir, file)));
      if (parsed.success) recipes.push(parsed.data);
    }
    return recipes;
  }

  async find(name: ImageName): Promise<Recipe | undefined> {
    const wanted = imageNameText(name);
    return (await this.all()).find((recipe) => imageNameText(recipe) === wanted);
  }

  async save(recipe: Recipe): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    await writeJson(this.#path(recipe), recipe, { flush: true });
  }

  async remove(name: ImageName): Promise<void> {
    await rm(this.#path(name), { force: true });
  }

  #path({ name, tag }: ImageName): string {
    // Neither may hold a colon, and a tag no dot that `.recipe.json` could be taken for.
    return join(this.dir, `${name}:${tag}.recipe.json`);
  }
}

/** When a recipe is to be followed again, in wall-clock milliseconds. */
export function dueAt({ builtAt, failedAt, everyMs }: Recipe): number {
  const next = builtAt === undefined ? 0 : builtAt + everyMs;
  return failedAt === undefined ? next : Math.max(next, failedAt + Math.min(RETRY_MS, everyMs));
}

/** The dated tags of an image that go when the newest `keep` stay. */
export function outdated(tags: readonly string[], keep: number): string[] {
  const dated = tags.filter((tag) => DATED.test(tag)).toSorted();
  return dated.slice(0, Math.max(0, dated.length - keep));
}

const DATED = /^\d{4}-\d{2}-\d{2}-\d{6}$/;

/** `2026-11-21-093000`, of UTC. */
export function datedTag(now: number): string {
  const [date = '', time = ''] = new Date(now).toISOString().split(/[T.]/);
  return `${date}-${time.replaceAll(':', '')}`;
}
