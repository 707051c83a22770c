import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Returns once all that was written to the file system of `path` is on the disk itself. */
export async function syncFileSystem(path: string): Promise<void> {
  if (process.platform === 'linux') await run('sync', ['-f', path]);
  else await run('sync');
}
