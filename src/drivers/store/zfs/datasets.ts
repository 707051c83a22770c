import { unmount } from './mounts.ts';
import { isProblem, zfs, zfsLines } from './zfs-command.ts';

/** Datasets that this store made and may remove as junk: a pool may hold others' too. */
export const MADE = 'org.pomona:made';
/** How often a dataset that is busy is unmounted and tried again. */
const DESTROY_TRIES = 5;

/** Properties of a dataset that are numbers, in bytes. */
export async function numbersOf(
  dataset: string,
  ...properties: string[]
): Promise<Record<string, number>> {
  const lines = await zfsLines(
    ...['get', '-H', '-p', '-o', 'property,value', properties.join(','), dataset],
  );
  return Object.fromEntries(lines.map(([property = '', value]) => [property, Number(value)]));
}

/** A dataset with those below it, each after the one that it is in. Throws when it is missing. */
export async function partsOf(dataset: string): Promise<string[]> {
  const names = await zfs('list', '-H', '-r', '-t', 'filesystem', '-o', 'name', dataset);
  return names
    .split('\n')
    .filter((name) => name !== '')
    .toSorted();
}

/** Did a store of ours make it? */
export async function isOurs(dataset: string): Promise<boolean> {
  const lines = await zfsLines('get', '-H', '-s', 'local', '-o', 'value', MADE, dataset);
  return lines.length > 0;
}

/** Removes a dataset with all below it, also one that is in use. What is not there is no error. */
export async function destroyDataset(dataset: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return void (await zfs('destroy', '-r', dataset));
    } catch (error) {
      if (isProblem(error, 'missing')) return;
      if (!isProblem(error, 'busy') || tries > DESTROY_TRIES) throw error;
    }
    const parts = await partsOf(dataset).catch(none);
    for (const part of parts.toReversed()) await unmount(part);
  }
}

function none(error: unknown): string[] {
  if (isProblem(error, 'missing')) return [];
  throw error;
}
