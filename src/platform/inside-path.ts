import { lstat, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing } from './atomic-file.ts';

/** Thrown for a path that means no place inside; the message says why. */
export class InsidePathError extends Error {
  readonly code = 'inside_path';
}

/** A directory of the host, and where the inside sees it. */
export interface Shown {
  readonly inside: string;
  readonly dir: string;
  readonly readOnly?: boolean;
}

/** As a kernel allows on one path. */
const MAX_LINKS = 40;

/**
 * The path that `target` means inside, where `shown` is what is there: links are followed as the
 * inside follows them, so that the result has none, and names a place in one of `shown` whatever
 * links a job left there. The end of the path need not exist.
 */
export async function resolveInside(shown: readonly Shown[], target: string): Promise<string> {
  let pending = parts(target);
  let at = '/';
  for (let links = 0; pending.length > 0;) {
    const [next = '', ...rest] = pending;
    pending = rest;
    const path = next === '..' ? dirname(at) : join(at, next);
    const host = hostPath(shown, path);
    if (host === undefined && !shown.some(({ inside }) => isBelow(inside, path))) {
      const where = shown.map(({ inside }) => inside).join(', ');
      throw new InsidePathError(`it leads to ${path}, which is not below ${where}`);
    }
    const link = host === undefined || next === '..' ? undefined : await linkAt(host, shown);
    if (link === undefined) {
      at = path;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw new InsidePathError('its links go round in circles');
    pending = [...parts(link), ...pending];
    if (link.startsWith('/')) at = '/';
  }
  return at;
}

async function linkAt(host: string, shown: readonly Shown[]): Promise<string | undefined> {
  if (shown.some(({ dir }) => dir === host)) return undefined;
  try {
    return (await lstat(host)).isSymbolicLink() ? await readlink(host) : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Where the host has what the inside sees at `path`, a path without links. */
export function hostPath(shown: readonly Shown[], path: string): string | undefined {
  // What was mounted last is on top.
  const found = shown.findLast(({ inside }) => path === inside || isBelow(path, inside));
  return found === undefined ? undefined : join(found.dir, path.slice(found.inside.length));
}

/** Whether a path is below another; both absolute and without links. */
export function isBelow(path: string, above: string): boolean {
  return path !== above && path.startsWith(above.endsWith('/') ? above : `${above}/`);
}

function parts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
