import { open, readdir, rm, stat, unlink, type FileHandle } from 'node:fs/promises';
import { hasCode } from './file-errors.ts';

/** Calls on files that may be missing, which is no error. */

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export function openIfThere(path: string): Promise<FileHandle | undefined> {
  return ifThere(open(path, 'r'));
}

export function statIfThere(path: string): Promise<{ size: number; mtimeMs: number } | undefined> {
  return ifThere(stat(path));
}

/** Names in a directory, none when it is missing. */
export async function namesIn(dir: string): Promise<string[]> {
  return (await ifThere(readdir(dir))) ?? [];
}

export async function unlinkIfThere(path: string): Promise<void> {
  await ifThere(unlink(path));
}

export function removeTree(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}
