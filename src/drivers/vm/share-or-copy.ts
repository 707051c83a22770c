import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree, removeTree } from '../../platform/tree.ts';

/** How file systems say that files cannot share blocks there. */
const CANNOT_SHARE = ['EOPNOTSUPP', 'ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS'];

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
