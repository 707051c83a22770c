import { join } from 'node:path';
import { datedTag, outdated, type Recipe } from '../../images/recipes.ts';
import { importImage } from '../../images/import.ts';
import type { LocalImages } from '../../images/local-images.ts';
import { imageNameText, type ImageName } from '../../images/reference.ts';
import { Threads } from '../../images/work/threads.ts';
import { MACHINE_DIR, type AskPerson } from '../../builder/machines/machines.ts';
import { findProfile, loadProfiles, specOfProfile } from '../../builder/profiles/profiles.ts';
import type { ParsedSpec } from '../../builder/spec/parse.ts';
import { readSecrets } from '../build/read-secrets.ts';
import { buildStore } from '../build/build-store.ts';
import type { Interruption } from '../build/interruption.ts';
import { useBuilder } from '../build/open-builder.ts';
import type { BuildPrinter } from '../build/progress.ts';
import { readSpec } from '../build/read-spec.ts';
import { ExitError } from '../errors.ts';

/** What is made, without when. */
export type ImageOrder = Pick<
  Recipe,
  'name' | 'tag' | 'spec' | 'context' | 'secrets' | 'store' | 'sandbox' | 'profile'
>;

export interface MakingOptions {
  readonly images: LocalImages;
  /** Where the store is when the order names none. */
  readonly buildsDir: string;
  readonly printer: BuildPrinter;
  readonly stop: Interruption;
  readonly noCache: boolean;
  /** The data directory of this host's agent. */
  readonly agentDir: string;
  /** Absent: nobody is there for what only a person can do. */
  readonly ask?: AskPerson;
}

/**
 * Builds a spec and makes an image of its result, under the order's name. Throws `ExitError` when a
 * step fails or it is interrupted; the name keeps what it had then.
 */
export async function makeImage(order: ImageOrder, options: MakingOptions): Promise<string> {
  const { images, printer, stop, noCache, ask } = options;
  const parsed = await readRecipe(order);
  const secrets = await readSecrets(order.secrets);
  const store = await buildStore(order.store, options.buildsDir);
  const place = {
    ...{ store, imagesDir: images.dir, contextDir: order.context, sandbox: order.sandbox },
    ...{ limits: {}, hostBases: true, machinesDir: options.agentDir },
  };
  return useBuilder(place, stop.again, async (builder) => {
    stop.builder = builder;
    const begun = performance.now();
    const outcome = await builder.build({
      ...{ parsed, contextDir: order.context, secrets, trust: 'trusted', noCache },
      ...{ identity: imageNameText(order), ...(ask === undefined ? {} : { ask }) },
      signal: stop.once,
      onEvent: (event) => printer.event(event),
    });
    printer.outcome(outcome, performance.now() - begun);
    if (outcome.outcome === 'failed') throw new ExitError(1);
    if (outcome.outcome === 'cancelled') throw new ExitError(130);
    return builder.withResult(outcome.id, (dir, layout) =>
      adopt(images, order, join(dir, PARTS[layout]), stop.once),
    );
  });
}

/** Where the files of a result are that become the image. */
const PARTS = { root: 'rootfs', home: '.', machine: MACHINE_DIR } as const;

async function readRecipe({ spec, profile }: ImageOrder): Promise<ParsedSpec> {
  if (profile === undefined) return readSpec(spec);
  const loaded = await loadProfiles(spec);
  return specOfProfile(loaded, findProfile(loaded.profiles, profile));
}

async function adopt(
  images: LocalImages,
  name: ImageName,
  dir: string,
  signal: AbortSignal,
): Promise<string> {
  const threads = new Threads();
  try {
    return (await importImage(images, threads, name, dir, { signal })).digest;
  } finally {
    await threads.close();
  }
}

/**
 * Gives an image its dated tag and removes those that are too many, with the content that only they
 * or the name had. Returns the dated one. `before`: what the name had until now.
 */
export async function rotateTags(
  images: LocalImages,
  { name, keep }: Pick<Recipe, 'name' | 'keep'>,
  { digest, before }: { readonly digest: string; readonly before: string | undefined },
  now: number,
): Promise<string> {
  const tag = datedTag(now);
  await images.setTag({ name, tag }, digest);
  const tags = (await images.tags()).filter((each) => each.name === name);
  const old = outdated(
    tags.map((each) => each.tag),
    Math.max(1, keep),
  );
  for (const each of old) await images.removeTag({ name, tag: each });
  const freed = tags.filter((each) => old.includes(each.tag)).map((each) => each.digest);
  await images.removeUntagged(new Set([...freed, ...(before === undefined ? [] : [before])]));
  return tag;
}

/** What a name has now, if anything. */
export async function digestOf(images: LocalImages, name: ImageName): Promise<string | undefined> {
  const all = await images.tags();
  return all.find((each) => imageNameText(each) === imageNameText(name))?.digest;
}
