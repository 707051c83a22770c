import { constants } from 'node:fs';
import { copyFile, lstat, mkdir } from 'node:fs/promises';
import { copyTree, removeTree } from '../platform/tree.ts';
import { isMissing } from '../platform/atomic-file.ts';
import type { LocalImages } from './local-images.ts';
import { ImageError } from './reference.ts';

/** Writes an image to a path that does not exist yet: a file, or a directory. */
export async function exportImage(
  images: LocalImages,
  digest: string,
  path: string,
): Promise<void> {
  if (await exists(path)) {
    throw new ImageError(`${path} is there already; name a path that is not, or remove it`);
  }
  const { kind } = await images.manifest(digest);
  const from = images.dataPath(digest);
  try {
    if (kind === 'file') {
      await copyFile(from, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      return;
    }
    await mkdir(path);
    await copyTree(from, path, { reflink: false });
  } catch (error) {
    await removeTree(path);
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
