import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rename, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ProblemError } from '../../protocol/problem.ts';
import { writeProblem } from './file-errors.ts';
import { namesIn, removeTree, statIfThere, unlinkIfThere } from './if-there.ts';

/** A file that nothing was added to for so long is nobody's. */
const STALE_MS = 3_600_000;

/** A file that arrived whole but has no place yet. */
export interface Arrived {
  readonly size: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/**
 * Directory in which files are gathered until they are whole. It must be on the file system of
 * the places the files go to.
 */
export class Incoming {
  readonly #dir: string;
  #prepared: Promise<void> | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Takes in a file of at most `limitBytes`, then moves it to the place that `placeFor` names, at
   * which a file is replaced. It is on the disk itself when this returns. When anything fails,
   * nothing is left. Throws ProblemError `too_large`, `disk_full`, and what `body` and `placeFor`
   * throw.
   */
  receive(
    body: AsyncIterable<Buffer>,
    limitBytes: number,
    placeFor: (file: Arrived) => string,
  ): Promise<Arrived> {
    return this.hold(body, limitBytes, (arrived, path) => place(path, placeFor(arrived)));
  }

  /**
   * Takes in a file and gives it to `use`, which may move it away; what is still there afterwards goes.
   * Throws as `receive` does.
   */
  async hold(
    body: AsyncIterable<Buffer>,
    limitBytes: number,
    use: (file: Arrived, path: string) => Promise<void>,
  ): Promise<Arrived> {
    await this.#prepare();
    const temporary = join(this.#dir, randomBytes(12).toString('hex'));
    const file = await open(temporary, 'wx', 0o600).catch((error: unknown) => {
      throw writeProblem(error, 'the file');
    });
    try {
      const arrived = await gatherAndClose(file, body, limitBytes);
      await use(arrived, temporary);
      return arrived;
    } catch (error) {
      throw writeProblem(error, 'the file');
    } finally {
      await unlinkIfThere(temporary);
    }
  }

  #prepare(): Promise<void> {
    this.#prepared ??= this.#empty().catch((error: unknown) => {
      this.#prepared = undefined;
      throw writeProblem(error, 'the file');
    });
    return this.#prepared;
  }

  /** What a crash left behind goes, not what another controller gathers there now. */
  async #empty(): Promise<void> {
    for (const name of await namesIn(this.#dir)) {
      const path = join(this.#dir, name);
      const mtimeMs = (await statIfThere(path))?.mtimeMs ?? Infinity;
      if (Date.now() - mtimeMs > STALE_MS) await removeTree(path);
    }
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }
}

async function gatherAndClose(
  file: FileHandle,
  body: AsyncIterable<Buffer>,
  limitBytes: number,
): Promise<Arrived> {
  try {
    return await gather(file, body, limitBytes);
  } finally {
    await file.close();
  }
}

async function gather(
  file: FileHandle,
  body: AsyncIterable<Buffer>,
  limitBytes: number,
): Promise<Arrived> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of body) {
    if (size + piece.length > limitBytes) {
      throw new ProblemError(
        'too_large',
        `the file is larger than the limit of ${limitBytes} bytes`,
      );
    }
    hash.update(piece);
    for (let done = 0; done < piece.length;) {
      done += (await file.write(piece, done)).bytesWritten;
    }
    size += piece.length;
  }
  await file.sync();
  return { size, sha256: hash.digest('hex') };
}

async function place(temporary: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rename(temporary, path);
  const dir = await open(dirname(path), 'r');
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}
