import { readFile } from 'node:fs/promises';
import { isMissing } from '../platform/atomic-file.ts';
import { hostPath, resolveInside } from '../platform/inside-path.ts';

/** The ids that a root file system's /etc/passwd gives a user. */
export async function findUser(
  rootDir: string,
  name: string,
): Promise<{ uid: number; gid: number } | undefined> {
  const shown = [{ inside: '/', dir: rootDir }];
  const path = hostPath(shown, await resolveInside(shown, '/etc/passwd'));
  try {
    for (const line of (await readFile(path ?? '', 'utf8')).split('\n')) {
      const [user, , uid = '', gid = ''] = line.split(':');
      if (user === name && uid !== '') return { uid: Number(uid), gid: Number(gid) };
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return undefined;
}
