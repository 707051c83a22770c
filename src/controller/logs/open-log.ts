import type { FileHandle } from 'node:fs/promises';
import { ProblemError } from '../../protocol/problem.ts';
import { isDiskFull, writeProblem } from '../files/file-errors.ts';

/** What is known of one log while someone appends to it or waits for more of it. */
export class OpenLog {
  /** Bytes that are good. Undefined until it was looked up. */
  size: number | undefined;
  /** Calls and listeners that need this; it is forgotten at 0. */
  users = 0;
  readonly listeners = new Set<() => void>();
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when all that was asked for before is over. */
  serially<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /**
   * Stores what of `bytes`, which stand at `at` in the log, is not there yet. Call serially.
   * Throws ProblemError `wrong_offset`, or `disk_full` with the file as it was before.
   */
  async store(file: FileHandle, at: number, bytes: Buffer): Promise<void> {
    const size = (this.size ??= (await file.stat()).size);
    if (at > size) throw wrongOffset(at, size);
    const fresh = bytes.subarray(Math.min(size - at, bytes.length));
    if (fresh.length === 0) return;
    try {
      await writeAll(file, fresh, size);
    } catch (error) {
      if (isDiskFull(error)) await file.truncate(size);
      throw writeProblem(error, 'log bytes');
    }
    this.size = size + fresh.length;
    for (const listener of this.listeners) listener();
  }
}

export function wrongOffset(asked: number, size: number): ProblemError {
  return new ProblemError(
    'wrong_offset',
    `the log has ${size} bytes, offset ${asked} is behind its end; go on at ${size}`,
    { offset: size },
  );
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
