import { stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';

/** The nearest directory above `path` that other users may not pass through, if any. */
export async function barrierAbove(path: string): Promise<string | undefined> {
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    if (((await stat(dir)).mode & 0o001) === 0) return dir;
    if (dir === dirname(dir)) return undefined;
  }
}

/** Throws when a worker's own user could not get to its directory. */
export async function assertReachable(path: string): Promise<void> {
  const barrier = await barrierAbove(path);
  if (barrier === undefined) return;
  throw new Error(
    `a worker's user cannot get to ${path}: ${barrier} lets no other user through; ` +
      `move the data directory (--data), or \`chmod o+x ${barrier}\``,
  );
}

/** The directories of a PATH that a worker's user can get to: others make a shell stumble. */
export async function reachablePath(path: string): Promise<string> {
  const reachable: string[] = [];
  for (const dir of path.split(delimiter)) {
    const barrier = await barrierAbove(join(dir, 'program')).catch(() => dir);
    if (barrier === undefined) reachable.push(dir);
  }
  return reachable.join(delimiter);
}
