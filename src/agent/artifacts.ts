import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import picomatch from 'picomatch';
import { isMissing } from '../platform/atomic-file.ts';

const MOST = 10_000;

/**
 * Paths, relative to `workDir` and sorted, of the files that the globs match. Nothing of the job
 * runs any more, so what is looked at does not change. Links count only when they lead to a regular
 * file inside the working directory; nothing outside can be named.
 */
export async function findArtifacts(workDir: string, globs: readonly string[]): Promise<string[]> {
  if (globs.length === 0) return [];
  const matches = picomatch([...globs], { dot: true });
  const found: string[] = [];
  let root: string;
  try {
    root = await realpath(workDir);
    if (!(await lstat(workDir)).isDirectory()) return [];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const visit = async (dir: string): Promise<void> => {
    for (const entry of await readdir(dir, { withFileTypes: true })) {
      const full = join(dir, entry.name);
      const path = relative(root, full);
      if (entry.isDirectory()) await visit(full);
      else if (matches(path) && (await isFileInside(root, full))) found.push(path);
      if (found.length > MOST) throw new Error(`more than ${MOST} files match the artifact globs`);
    }
  };
  await visit(root);
  return found.toSorted();
}

async function isFileInside(root: string, path: string): Promise<boolean> {
  try {
    const real = await realpath(path);
    return real.startsWith(root + sep) && (await stat(real)).isFile();
  } catch (error) {
    // A dangling link.
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ELOOP') return false;
    throw error;
  }
}
