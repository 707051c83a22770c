import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { readJson, writeJson } from './atomic-file.ts';

/** Thrown when another process works in the directory. */
export class DirectoryInUseError extends Error {
  readonly code = 'directory_in_use';
  constructor(directory: string, holder: LockHolder | undefined) {
    const who =
      holder === undefined
        ? 'another process'
        : `process ${holder.pid} (${holder.program}), since ${holder.since}`;
    super(`${directory} is in use by ${who}; stop it, or choose another directory with --data`);
    this.name = 'DirectoryInUseError';
  }
}

interface LockHolder {
  readonly pid: number;
  readonly program: string;
  /** Date and time. */
  readonly since: string;
}

/**
 * Makes a directory this process's own until it ends, however it ends: the lock is SQLite's on a
 * file in it, which the system releases with the process. Throws `DirectoryInUseError`.
 */
export async function lockDirectory(
  directory: string,
  program: string,
): Promise<{ release(): void }> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const holderPath = join(directory, 'lock.json');
  const lock = new DatabaseSync(join(directory, 'lock.db'));
  try {
    lock.exec('PRAGMA busy_timeout = 0');
    lock.exec('PRAGMA journal_mode = DELETE');
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    const SQLITE_BUSY = 5;
    if (((error as { errcode?: number }).errcode ?? 0) % 256 !== SQLITE_BUSY) throw error;
    throw new DirectoryInUseError(directory, await readJson<LockHolder>(holderPath));
  }
  const since = new Date().toISOString();
  await writeJson(holderPath, { pid: process.pid, program, since } satisfies LockHolder);
  return { release: () => lock.close() };
}
