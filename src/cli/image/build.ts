import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { dueAt, Recipes, type Recipe } from '../../images/recipes.ts';
import { imageNameText, parseImageName } from '../../images/reference.ts';
import { defaultDataDir } from '../../platform/data-dir.ts';
import { lockDirectory } from '../../platform/directory-lock.ts';
import { Interruption } from '../build/interruption.ts';
import { jsonPrinter, PlainPrinter, type BuildPrinter } from '../build/progress.ts';
import { ExitError, UsageError } from '../errors.ts';
import { collect, durationOption, integerOption } from '../options.ts';
import { ago, printJson, printTable, span } from '../output.ts';
import { writeOut } from '../standard-output.ts';
import { digestOf, makeImage, rotateTags } from './make-image.ts';
import { imagesOf, withImages, type ImageOptions } from './places.ts';

interface BuildOptions extends ImageOptions {
  readonly store?: string;
  readonly sandbox?: string;
  readonly secret: string[];
  readonly cache: boolean;
  readonly every?: number;
  readonly keep: number;
}

/** Commands that make images by specs, once or on a schedule. */
export function addBuildCommands(image: Command): void {
  withImages(image.command('build <name> <file> [dir]'))
    .description('make an image by a spec, now and, with --every, again and again')
    .option('--store <spec>', 'where results are kept: DRIVER:PLACE')
    .option('--sandbox <name>', 'what steps run in (default: the best that works)')
    .option('--secret <id=file>', 'a secret for steps that ask for it', collect, [])
    .option('--no-cache', 'make every step anew')
    .option('--every <duration>', 'make it anew so often, such as 7d', durationOption)
    .option('--keep <n>', 'with --every: dated tags that stay', integerOption, 3)
    .addHelpText(
      'after',
      `
The result becomes the image NAME, or NAME:TAG, of this host: a home and a prefix for workers, or a
root file system, as the spec's base is. DIR is the context of \`copy\` (default: the directory of
FILE). Bases can be images, too: \`(from pomona:NAME)\`.

With --every the agent of this host makes it anew each time, every step without the cache, so that
what the steps fetch is as new as it can be. Each time it also gets a tag of its date, to go back to
by \`pomona image tag NAME:2026-11-21-093000 NAME\`. Secrets' files are read each time.

Examples:
  pomona image build ocaml-5 ocaml.spec
  pomona image build macos-dev:stable dev.spec ./files --secret token=/etc/token --every 7d`,
    )
    .action(build);

  withImages(image.command('rebuild [names...]'))
    .description('make images of the schedule anew now')
    .option('--due', 'only those whose time has come')
    .action(rebuild);

  withImages(image.command('schedule'))
    .description('images that are made again and again')
    .action(async (options: ImageOptions) => {
      const recipes = await new Recipes(imagesOf(options).dir).all();
      if (options.json === true) return printJson(recipes);
      printTable(
        ['IMAGE', 'EVERY', 'LAST', 'NEXT', 'SPEC', 'PROBLEM'],
        recipes.map((recipe) => {
          const wait = dueAt(recipe) - Date.now();
          return [
            ...[imageNameText(recipe), span(recipe.everyMs), ago(recipe.builtAt) ?? 'never'],
            ...[wait > 0 ? `in ${span(wait)}` : 'now', recipe.spec, recipe.error ?? ''],
          ];
        }),
      );
    });

  withImages(image.command('unschedule <name>'))
    .description('do not make an image again; it stays as it is')
    .action(async (text: string, options: ImageOptions) => {
      const name = parseImageName(text);
      const recipes = new Recipes(imagesOf(options).dir);
      const known = await recipes.find(name);
      if (known === undefined) throw new UsageError(await whichThereAre(recipes, text));
      await recipes.remove(name);
      if (options.json === true) return printJson(known);
      process.stdout.write(`${imageNameText(name)} is not made again\n`);
    });
}

async function build(
  text: string,
  file: string,
  dir: string | undefined,
  options: BuildOptions,
): Promise<void> {
  const images = imagesOf(options);
  const spec = resolve(file);
  const order = {
    ...parseImageName(text),
    ...{ spec, context: resolve(dir ?? dirname(spec)) },
    secrets: options.secret.map((each) => {
      const at = each.indexOf('=');
      return at < 1 ? each : `${each.slice(0, at)}=${resolve(each.slice(at + 1))}`;
    }),
    store: options.store,
    sandbox: options.sandbox,
  };
  const recipes = new Recipes(images.dir);
  const lock = await lockDirectory(recipes.dir, 'pomona image build');
  const stop = new Interruption();
  try {
    const before = await digestOf(images, order);
    const digest = await makeImage(order, {
      ...{ images, stop, buildsDir: buildsDirOf(options), printer: printerFor(options) },
      noCache: !options.cache,
    });
    if (options.every !== undefined) {
      const builtAt = Date.now();
      const { keep } = options;
      await rotateTags(images, { name: order.name, keep }, { digest, before }, builtAt);
      await recipes.save({ ...order, everyMs: options.every, keep: options.keep, builtAt });
    }
    told(options, imageNameText(order), digest);
  } finally {
    stop.end();
    lock.release();
  }
}

async function rebuild(
  names: readonly string[],
  options: ImageOptions & { readonly due?: boolean },
): Promise<void> {
  const images = imagesOf(options);
  const recipes = new Recipes(images.dir);
  const chosen = await choose(recipes, names, options.due === true);
  if (chosen.length === 0) return;
  const lock = await lockDirectory(recipes.dir, 'pomona image rebuild');
  const stop = new Interruption();
  let failed = 0;
  try {
    for (const recipe of chosen) {
      try {
        const before = await digestOf(images, recipe);
        const digest = await makeImage(recipe, {
          ...{ images, stop, buildsDir: buildsDirOf(options), printer: printerFor(options) },
          noCache: true,
        });
        const builtAt = Date.now();
        await rotateTags(images, recipe, { digest, before }, builtAt);
        const { failedAt: _, error: _error, ...rest } = recipe;
        await recipes.save({ ...rest, builtAt });
        told(options, imageNameText(recipe), digest);
      } catch (error) {
        if (stop.once.aborted) throw error;
        failed += 1;
        const said = error instanceof ExitError ? 'a step failed' : (error as Error).message;
        await recipes.save({ ...recipe, failedAt: Date.now(), error: said.slice(0, 500) });
        process.stderr.write(`pomona: ${imageNameText(recipe)} stays as it was: ${said}\n`);
      }
    }
  } finally {
    stop.end();
    lock.release();
  }
  if (failed > 0) throw new ExitError(1);
}

async function choose(recipes: Recipes, names: readonly string[], due: boolean): Promise<Recipe[]> {
  const found: Recipe[] = [];
  for (const text of names) {
    const recipe = await recipes.find(parseImageName(text));
    if (recipe === undefined) throw new UsageError(await whichThereAre(recipes, text));
    found.push(recipe);
  }
  const all = names.length === 0 ? await recipes.all() : found;
  return due ? all.filter((recipe) => dueAt(recipe) <= Date.now()) : all;
}

async function whichThereAre(recipes: Recipes, text: string): Promise<string> {
  const names = (await recipes.all()).map(imageNameText).join(', ') || 'none';
  return `${text} is not on the schedule; there are: ${names}`;
}

function told(options: ImageOptions, name: string, digest: string): void {
  if (options.json === true) process.stdout.write(`${JSON.stringify({ image: name, digest })}\n`);
  else process.stdout.write(`${name} is ${digest}\n`);
}

/** As agents have it, so that they share what they make. */
function buildsDirOf({ agentData, data }: ImageOptions): string {
  return join(resolve(agentData ?? data ?? defaultDataDir()), 'builds');
}

function printerFor({ json }: ImageOptions): BuildPrinter {
  return json === true ? jsonPrinter(writeOut) : new PlainPrinter(writeOut, process.stdout.isTTY);
}
