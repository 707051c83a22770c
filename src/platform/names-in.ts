import { readdir } from 'node:fs/promises';
import { isMissing } from './atomic-file.ts';

/** Names in a directory, sorted; none where it is not there. */
export async function namesIn(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).toSorted();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
