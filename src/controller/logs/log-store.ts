import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode, writeProblem } from '../files/file-errors.ts';
import { checkEpoch, checkId, shardOf } from '../files/file-names.ts';
import { namesIn, openIfThere, statIfThere, unlinkIfThere } from '../files/if-there.ts';
import { frameEnd } from './frame-end.ts';
import { OpenLog, wrongOffset } from './open-log.ts';
import type { Kept } from './retention.ts';

/** A piece that `read` gives is at most this long. Larger than the longest frame. */
export const LOG_PIECE_BYTES = 256 * 1024;

/** How soon readers see what another process appends. */
const WATCH_MS = 500;

const FILE_NAME = /^([a-z0-9][a-z0-9-]*)\.(\d+)\.log$/;

/**
 * Jobs' logs in files `<dir>/<shard>/<job>.<epoch>.log`, one for each hand-over of a job.
 *
 * A file's length is all its state: after a crash, appending goes on there. Appended bytes may be
 * cut anywhere; readers get whole frames only. Several processes may append when `shared`: what they
 * append at an offset is the same, since one agent sends it.
 */
export class LogStore {
  readonly #dir: string;
  readonly #shared: boolean;
  readonly #open = new Map<string, OpenLog>();

  constructor(dir: string, { shared = false } = {}) {
    this.#dir = dir;
    this.#shared = shared;
  }

  /**
   * Appends bytes that stand at `offset` in the log; those that are there already are skipped, so
   * that sending again after a lost answer does no harm. Returns the new size. Each piece is kept
   * as it arrives, also when a later one fails. Throws ProblemError `wrong_offset` (its `offset`
   * is the size) and `disk_full`.
   */
  append(
    jobId: string,
    epoch: number,
    offset: number,
    bytes: Buffer | AsyncIterable<Buffer>,
  ): Promise<number> {
    return this.#using(jobId, epoch, async (log, path) => {
      if (this.#shared) log.size = undefined;
      const size = log.size ?? (await sizeOf(path));
      if (offset > size) throw wrongOffset(offset, size);
      const file = await openToAppend(path);
      try {
        let at = offset;
        for await (const piece of Buffer.isBuffer(bytes) ? [bytes] : bytes) {
          await log.serially(() => log.store(file, at, piece));
          at += piece.length;
        }
        return (log.size ??= (await file.stat()).size);
      } finally {
        await file.close();
      }
    });
  }

  /** Bytes stored, 0 when there is no such log. The last frame may not be complete. */
  size(jobId: string, epoch: number): Promise<number> {
    const path = this.#path(jobId, epoch);
    const known = this.#shared ? undefined : this.#open.get(path)?.size;
    return known === undefined ? sizeOf(path) : Promise.resolve(known);
  }

  /**
   * The whole frames from `offset`, the start of a frame, to the present end, in pieces of whole
   * frames. Throws `LogFormatError` when there is no frame at `offset`.
   */
  async *read(jobId: string, epoch: number, offset: number): AsyncGenerator<Buffer, void> {
    const file = await openIfThere(this.#path(jobId, epoch));
    if (file === undefined) return;
    try {
      const { size } = await file.stat();
      for (let at = offset; at < size;) {
        const room = Buffer.allocUnsafeSlow(Math.min(LOG_PIECE_BYTES, size - at));
        const { bytesRead } = await file.read(room, 0, room.length, at);
        const end = frameEnd(room.subarray(0, bytesRead));
        if (end === 0) return;
        yield room.subarray(0, end);
        at += end;
      }
    } finally {
      await file.close();
    }
  }

  /**
   * The greatest start of a frame, or end of the last whole one, that is not behind `offset`. Reads
   * the log up to there, since frames can only be found from the first one on.
   */
  frameStart(jobId: string, epoch: number, offset: number): Promise<number> {
    return frameStartIn(this, jobId, epoch, offset);
  }

  /** Calls `listener`, which must be quick and not throw, after each append. Returns the stop. */
  onGrowth(jobId: string, epoch: number, listener: () => void): () => void {
    const path = this.#path(jobId, epoch);
    const log = this.#enter(path);
    // A function of its own, so that one listener given twice counts twice.
    const call = () => listener();
    log.listeners.add(call);
    const watching = this.#shared ? watchSize(path, call) : undefined;
    return () => {
      clearInterval(watching);
      if (log.listeners.delete(call)) this.#leave(path, log);
    };
  }

  /** Makes sure a log that is complete survives a power failure. */
  async finish(jobId: string, epoch: number): Promise<void> {
    const file = await openIfThere(this.#path(jobId, epoch));
    if (file === undefined) return;
    try {
      await file.sync();
    } catch (error) {
      throw writeProblem(error, 'log bytes');
    } finally {
      await file.close();
    }
  }

  /** Logs that `finish` was not called for although their jobs ended, where that can be told. */
  async unfinished(): Promise<readonly { readonly jobId: string; readonly epoch: number }[]> {
    return [];
  }

  /** Removes the logs of all hand-overs of a job that is finished. */
  async remove(jobId: string): Promise<void> {
    const shard = join(this.#dir, shardOf(checkId(jobId)));
    for (const name of await namesIn(shard)) {
      const [, owner, epoch] = FILE_NAME.exec(name) ?? [];
      if (owner !== jobId) continue;
      await this.#using(jobId, Number(epoch), (log, path) =>
        log.serially(async () => {
          log.size = undefined;
          await unlinkIfThere(path);
        }),
      );
    }
  }

  /** The logs of each job, those of all its hand-overs together, in no order. */
  async *list(): AsyncGenerator<Kept<string>, void> {
    for (const shard of await namesIn(this.#dir)) {
      const jobs = new Map<string, { bytes: number; at: number }>();
      for (const name of await namesIn(join(this.#dir, shard))) {
        const jobId = FILE_NAME.exec(name)?.[1];
        const file =
          jobId === undefined ? undefined : await statIfThere(join(this.#dir, shard, name));
        if (jobId === undefined || file === undefined) continue;
        const { bytes, at } = jobs.get(jobId) ?? { bytes: 0, at: 0 };
        jobs.set(jobId, { bytes: bytes + file.size, at: Math.max(at, file.mtimeMs) });
      }
      for (const [id, sum] of jobs) yield { id, ...sum };
    }
  }

  #path(jobId: string, epoch: number): string {
    const name = `${checkId(jobId)}.${checkEpoch(epoch)}.log`;
    return join(this.#dir, shardOf(jobId), name);
  }

  async #using<T>(
    jobId: string,
    epoch: number,
    work: (log: OpenLog, path: string) => Promise<T>,
  ): Promise<T> {
    const path = this.#path(jobId, epoch);
    const log = this.#enter(path);
    try {
      return await work(log, path);
    } finally {
      this.#leave(path, log);
    }
  }

  #enter(path: string): OpenLog {
    let log = this.#open.get(path);
    if (log === undefined) this.#open.set(path, (log = new OpenLog()));
    log.users += 1;
    return log;
  }

  #leave(path: string, log: OpenLog): void {
    log.users -= 1;
    if (log.users === 0) this.#open.delete(path);
  }
}

/** `frameStart` of any store of logs. */
export async function frameStartIn(
  logs: Pick<LogStore, 'read'>,
  jobId: string,
  epoch: number,
  offset: number,
): Promise<number> {
  let at = 0;
  if (offset === 0) return at;
  for await (const piece of logs.read(jobId, epoch, 0)) {
    if (at + piece.length > offset) return at + frameEnd(piece, offset - at);
    at += piece.length;
  }
  return at;
}

async function openToAppend(path: string): Promise<FileHandle> {
  // Not O_APPEND: writes name their position, which is right also behind a failed write.
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await open(path, 'wx+', 0o600);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return open(path, 'r+');
    throw writeProblem(error, 'log bytes');
  }
}

/** What other processes append is not told: it is looked for. */
function watchSize(path: string, grew: () => void): NodeJS.Timeout {
  let seen: number | undefined;
  return setInterval(() => {
    sizeOf(path)
      .then((size) => {
        if (seen !== undefined && size > seen) grew();
        seen = size;
      })
      // A share that is out of reach for a while: it is looked at again.
      .catch(() => undefined);
  }, WATCH_MS);
}

async function sizeOf(path: string): Promise<number> {
  return (await statIfThere(path))?.size ?? 0;
}
