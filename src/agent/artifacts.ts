import { constants } from 'node:fs';
import { lstat, open, readdir, realpath, type FileHandle } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import picomatch from 'picomatch';
import { isMissing } from '../platform/atomic-file.ts';

/** Most files brought back for one job. */
export const MOST_ARTIFACTS = 10_000;

export interface FoundArtifacts {
  /** Relative to the working directory, sorted. */
  readonly paths: readonly string[];
  /** What could not be looked at or is too much, in words. */
  readonly problems: readonly string[];
}

/** Whether globs match a path, relative to the working directory. */
export function artifactMatcher(globs: readonly string[]): (path: string) => boolean {
  return picomatch([...globs], { dot: true });
}

/**
 * The files below `workDir` that the globs match. Nothing of the job runs any more, so what is
 * looked at does not change. What one directory hides does not hide the rest.
 */
export async function findArtifacts(
  workDir: string,
  globs: readonly string[],
  most: number = MOST_ARTIFACTS,
): Promise<FoundArtifacts> {
  const root = globs.length === 0 ? undefined : await realDirectory(workDir);
  if (root === undefined) return { paths: [], problems: [] };
  const matches = artifactMatcher(globs);
  const paths: string[] = [];
  const problems: string[] = [];
  const visit = async (dir: string): Promise<void> => {
    let entries;
    try {
      entries = await readdir(dir, { withFileTypes: true });
    } catch (error) {
      if (!isMissing(error)) problems.push(`${relative(root, dir) || '.'}: ${reasonOf(error)}`);
      return;
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (paths.length > most) return;
      const full = join(dir, entry.name);
      if (entry.isDirectory()) await visit(full);
      else if (matches(relative(root, full)) && !(await isElsewhere(root, full))) {
        paths.push(relative(root, full));
      }
    }
  };
  await visit(root);
  if (paths.length > most) {
    paths.length = most;
    problems.push(`more than ${most} files match; the rest was left`);
  }
  return { paths: paths.toSorted(), problems };
}

/**
 * Opens an artifact for reading. Links count only when they lead to a file inside the working
 * directory, and only files of the working directory's own user: a hard link to a stranger's file
 * is none of the job's. Throws with a reason for people.
 */
export async function openArtifact(workDir: string, path: string): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    const real = await realpath(join(workDir, path));
    file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const [stats, owner] = [await file.stat(), await lstat(workDir)];
    if (stats.uid !== owner.uid) throw new Error('it belongs to another user than the job');
    return file;
  } catch (error) {
    await file?.close();
    throw new Error(reasonOf(error), { cause: error });
  }
}

/** The job may have put anything in its place, a link among others. */
async function realDirectory(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isDirectory() ? await realpath(path) : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** A dangling link, one that leads outside, or what is no regular file. */
async function isElsewhere(root: string, path: string): Promise<boolean> {
  try {
    const real = await realpath(path);
    return !real.startsWith(root + sep) || !(await lstat(real)).isFile();
  } catch (error) {
    return isMissing(error) || codeOf(error) === 'ELOOP';
  }
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return 'it may not be read';
    default:
      return (error as Error).message;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
