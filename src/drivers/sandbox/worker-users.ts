import { mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../../platform/atomic-file.ts';
import { SandboxError } from './sandbox.ts';

/** User ids given to workers, one each; group ids are the same numbers. No passwd entry is made. */
const FIRST_UID = 61_000;
const LAST_UID = 64_999;

/**
 * Claims are links named by the uid that point to the worker's name, in a directory only root can
 * enter and that a reboot empties. A link is made by one process only, so two workers never share
 * a uid, whichever agents they belong to.
 */
const CLAIMS = process.platform === 'darwin' ? '/var/run/pomona/uids' : '/run/pomona/uids';

/** The uid that this worker has, if any. */
export async function uidOf(name: string): Promise<number | undefined> {
  for (const entry of await claims()) {
    try {
      if ((await readlink(join(CLAIMS, entry))) === name) return Number(entry);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

/**
 * Gives the worker a uid of its own, the same at each call. Needs root. Throws `SandboxError` `busy`
 * when all that it may have are taken.
 */
export async function claimUid(
  name: string,
  { first, last }: { first: number; last: number } = { first: FIRST_UID, last: LAST_UID },
): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error('only root can give a worker a user of its own');
  const mine = await uidOf(name);
  if (mine !== undefined) return mine;
  await mkdir(CLAIMS, { recursive: true, mode: 0o700 });
  const taken = new Set(await claims());
  for (let uid = first; uid <= last; uid += 1) {
    if (taken.has(String(uid))) continue;
    try {
      await symlink(name, join(CLAIMS, String(uid)));
      return uid;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  const holder = first === last ? await readlink(join(CLAIMS, String(first))).catch(() => '') : '';
  throw new SandboxError(
    'busy',
    first === last
      ? `user ${first} belongs to ${holder} until that is destroyed (${CLAIMS}/${first})`
      : `all uids from ${first} to ${last} are claimed in ${CLAIMS}`,
  );
}

/** Gives the worker's uid back. Nothing of it may be left. Idempotent. */
export async function releaseUid(name: string): Promise<void> {
  const uid = await uidOf(name);
  if (uid !== undefined) await rm(join(CLAIMS, String(uid)), { force: true });
}

async function claims(): Promise<string[]> {
  // Only root can make claims, and only root may read those that another agent made.
  if (process.getuid?.() !== 0) return [];
  try {
    return await readdir(CLAIMS);
  } catch (error) {
    // Only root looks in there, and only root has claims.
    if (isMissing(error) || process.getuid?.() !== 0) return [];
    throw error;
  }
}
