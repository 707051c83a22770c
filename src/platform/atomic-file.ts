import { open, readFile, rename, rm } from 'node:fs/promises';

/** So that writes of one path at the same moment have names of their own. */
let written = 0;

/**
 * Writes a file whole or not at all: under a temporary name beside it, flushed, then renamed. A
 * reader sees the old content or the new, also after a crash; of several at once the last one stays.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: { mode?: number; flush?: boolean } = {},
): Promise<void> {
  written += 1;
  const temporary = `${path}.${process.pid}-${written}.tmp`;
  try {
    const file = await open(temporary, 'w', options.mode ?? 0o600);
    try {
      await file.writeFile(content);
      if (options.flush === true) await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

export function writeJson(
  path: string,
  value: unknown,
  options: { mode?: number; flush?: boolean } = {},
): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(value)}\n`, options);
}

/**
 * The parsed content, or undefined when there is no such file. An empty file counts as none: it is
 * what a power cut leaves of a file that was not flushed.
 */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    return text === '' ? undefined : (JSON.parse(text) as T);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
