import { constants } from 'node:fs';
import { copyFile, lstat, mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { copyTree, removeTree } from '../platform/tree.ts';
import { isMissing } from '../platform/atomic-file.ts';
import type { LocalImages } from './local-images.ts';
import { convertDisk, formatOf } from './formats/disk-format.ts';
import { zipTree } from './formats/zip.ts';
import type { WorkOptions } from './progress.ts';
import { ImageError } from './reference.ts';

/** Writes an image to a path that does not exist yet: a file, or a directory. */
export async function exportImage(
  images: LocalImages,
  digest: string,
  path: string,
): Promise<void> {
  await mustNotExist(path);
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

export type ExportFormat = 'qcow2' | 'zip';

/** As `exportImage`, in a format that others use: a disk as qcow2, a tree as zip. */
export async function exportAs(
  images: LocalImages,
  digest: string,
  path: string,
  format: ExportFormat | undefined,
  options: WorkOptions = {},
): Promise<void> {
  if (format === undefined) return exportImage(images, digest, path);
  await mustNotExist(path);
  const { kind } = await images.manifest(digest);
  const from = images.dataPath(digest);
  if (format === 'zip' && kind === 'tree') {
    return zipTree(from, path, basename(path).replace(/\.zip$/i, ''));
  }
  if (format === 'qcow2' && kind === 'file') {
    if ((await formatOf(from)) === 'qcow2') return exportImage(images, digest, path);
    return convertDisk({ path: from, format: 'raw' }, { path, format }, options);
  }
  const is = kind === 'file' ? 'a disk, which can be qcow2' : 'a tree, which can be a zip';
  throw new ImageError(`the image is ${is}, not ${format}`);
}

async function mustNotExist(path: string): Promise<void> {
  if (!(await exists(path))) return;
  throw new ImageError(`${path} is there already; name a path that is not, or remove it`);
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
