import type { Command } from 'commander';
import { dueAt, Recipes, type Recipe } from '../../images/recipes.ts';
import { imageNameText, parseImageName } from '../../images/reference.ts';
import { Interruption } from '../build/interruption.ts';
import { ExitError, UsageError } from '../errors.ts';
import { ago, printJson, printTable, span } from '../output.ts';
import { lockName, told, whereFor } from './build.ts';
import { digestOf, makeImage, rotateTags } from './make-image.ts';
import { imagesOf, withImages, type ImageOptions } from './places.ts';

/** Commands for images that are made again and again. */
export function addScheduleCommands(image: Command): void {
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

async function rebuild(
  names: readonly string[],
  options: ImageOptions & { readonly due?: boolean },
): Promise<void> {
  const images = imagesOf(options);
  const recipes = new Recipes(images.dir);
  const chosen = await choose(recipes, names, options.due === true);
  if (chosen.length === 0) return;
  const stop = new Interruption();
  let failed = 0;
  try {
    for (const recipe of chosen) {
      const lock = await lockName(images, recipe, 'pomona image rebuild');
      try {
        const before = await digestOf(images, recipe);
        const digest = await makeImage(recipe, {
          ...{ ...whereFor(options, images), stop, noCache: true },
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
      } finally {
        lock.release();
      }
    }
  } finally {
    stop.end();
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
