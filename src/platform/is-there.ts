import { stat } from 'node:fs/promises';
import { isMissing } from './atomic-file.ts';

/** Whether there is anything at a path. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
