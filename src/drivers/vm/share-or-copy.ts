import { constants } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree, removeTree } from '../../platform/tree.ts';

/** How file systems say that files cannot share blocks there. */
const CANNOT_SHARE = ['EOPNOTSUPP', 'ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS'];

/** The same for one file, which is new there. */
export async function shareOrCopyFile(
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  signal.throwIfAborted();
}

/** The same, in the place of all that is there. */
export async function replaceContent(from: string, to: string, signal: AbortSignal): Promise<void> {
  for (const name of await readdir(to)) await removeTree(join(to, name));
  await shareOrCopy(from, to, signal);
}

/** Copies a directory's content, sharing blocks where the file system can (APFS, XFS, Btrfs). */
export async function shareOrCopy(from: string, to: string, signal: AbortSignal): Promise<void> {
  try {
    await copyTree(from, to, { reflink: true, signal });
  } catch (error) {
    signal.throwIfAborted();
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!CANNOT_SHARE.includes(code)) throw error;
    for (const name of await readdir(to)) await removeTree(join(to, name));
    await copyTree(from, to, { reflink: false, signal });
  }
}
