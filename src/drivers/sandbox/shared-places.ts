import { execFile } from 'node:child_process';
import { lstat, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isMissing } from '../../platform/atomic-file.ts';
import { removeTree } from '../../platform/tree.ts';

const run = promisify(execFile);

/** Places where any user may leave files. */
const SHARED = ['/tmp', '/var/tmp', '/dev/shm', '/dev/mqueue', '/run/lock', '/var/crash'];

/** Removes what a worker's user left in places that all users share: files and System V IPC. */
export async function cleanSharedPlaces(uid: number): Promise<void> {
  for (const place of SHARED) {
    for (const name of await listing(place)) {
      const path = join(place, name);
      try {
        if ((await lstat(path)).uid === uid) await removeTree(path);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }
  if (process.platform !== 'linux') return;
  await removeIpc('shm', '-m', uid);
  await removeIpc('sem', '-s', uid);
  await removeIpc('msg', '-q', uid);
}

async function listing(place: string): Promise<string[]> {
  try {
    return await readdir(place);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Objects are listed in /proc/sysvipc with columns named in the first line. */
async function removeIpc(kind: 'shm' | 'sem' | 'msg', flag: string, uid: number): Promise<void> {
  const text = await readFile(`/proc/sysvipc/${kind}`, 'utf8').catch(() => '');
  const [header = '', ...rows] = text.trim().split('\n');
  const columns = header.trim().split(/\s+/);
  const id = columns.findIndex((column) => column.endsWith('id') && column.startsWith(kind));
  const owner = columns.indexOf('uid');
  const creator = columns.indexOf('cuid');
  for (const row of rows) {
    const fields = row.trim().split(/\s+/);
    if (fields[owner] !== String(uid) && fields[creator] !== String(uid)) continue;
    await run('ipcrm', [flag, fields[id] ?? '']).catch(() => undefined);
  }
}
