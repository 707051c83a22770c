import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import type { Database } from '../../db/database.ts';
import {
  addPiece,
  addSegment,
  deleteLogs,
  listLogs,
  logEnd,
  looseBytes,
  looseLogs,
  piecesFrom,
  segmentAt,
  type LogKey,
} from '../../db/queries/log-pieces.ts';
import type { BlobStore } from '../../drivers/blob/blob.ts';
import { BlobFiles } from '../files/blob-files.ts';
import { checkEpoch, checkId } from '../files/file-names.ts';
import type { LogFiles } from '../files/file-stores.ts';
import { frameEnd } from './frame-end.ts';
import { frameStartIn, LOG_PIECE_BYTES } from './log-store.ts';
import { wrongOffset } from './open-log.ts';
import type { Kept } from './retention.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** So much of a log waits in the database before it becomes an object. */
const SEGMENT_BYTES = 4 * 2 ** 20;
const PIECES_AT_ONCE = 64;
/** How soon readers see what another process appends. */
const WATCH_MS = 500;

/**
 * Jobs' logs in a blob store, which cannot append: the end of a log that grows is in the database, where
 * every controller reads it, and what there is enough of becomes an object
 * `logs/<job>/<epoch>/<start>-<end>.zst`. A log that is complete is in objects alone.
 *
 * Bytes at an offset are always the same, since one agent sends them: whatever two processes do at the same
 * time, readers who follow the offsets see them once.
 */
export class BlobLogStore implements LogFiles {
  readonly #db: Database;
  readonly #blobs: BlobStore;
  readonly #now: () => number;
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(db: Database, blobs: BlobStore, now: () => number = Date.now) {
    this.#db = db;
    this.#blobs = blobs;
    this.#now = now;
  }

  async append(
    jobId: string,
    epoch: number,
    offset: number,
    bytes: Buffer | AsyncIterable<Buffer>,
  ): Promise<number> {
    const key = keyOf(jobId, epoch);
    let end = await logEnd(this.#db, key);
    if (offset > end) throw wrongOffset(offset, end);
    let at = offset;
    for await (const piece of Buffer.isBuffer(bytes) ? [bytes] : bytes) {
      while (end < at + piece.length) {
        const fresh = { start: end, bytes: piece.subarray(Math.max(0, end - at)) };
        const added = await addPiece(this.#db, key, fresh, this.#now());
        end = added ? at + piece.length : await logEnd(this.#db, key);
        this.#grew(key);
      }
      at += piece.length;
    }
    if ((await looseBytes(this.#db, key)) >= SEGMENT_BYTES) await this.#seal(key);
    return end;
  }

  size(jobId: string, epoch: number): Promise<number> {
    return logEnd(this.#db, keyOf(jobId, epoch));
  }

  async *read(jobId: string, epoch: number, offset: number): AsyncGenerator<Buffer, void> {
    let left: Buffer = Buffer.alloc(0);
    for await (const bytes of this.#bytesFrom(keyOf(jobId, epoch), offset)) {
      left = left.length === 0 ? bytes : Buffer.concat([left, bytes]);
      for (;;) {
        const end = frameEnd(left.subarray(0, LOG_PIECE_BYTES));
        if (end === 0) break;
        yield left.subarray(0, end);
        left = left.subarray(end);
      }
    }
  }

  frameStart(jobId: string, epoch: number, offset: number): Promise<number> {
    return frameStartIn(this, jobId, epoch, offset);
  }

  onGrowth(jobId: string, epoch: number, listener: () => void): () => void {
    const key = keyOf(jobId, epoch);
    const name = nameOf(key);
    // A function of its own, so that one listener given twice counts twice.
    const call = () => listener();
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(call));
    const watching = this.#db.shared ? this.#watch(key, call) : undefined;
    return () => {
      clearInterval(watching);
      listeners.delete(call);
      if (listeners.size === 0) this.#listeners.delete(name);
    };
  }

  async finish(jobId: string, epoch: number): Promise<void> {
    await this.#seal(keyOf(jobId, epoch));
  }

  unfinished(): Promise<readonly LogKey[]> {
    return looseLogs(this.#db);
  }

  async remove(jobId: string): Promise<void> {
    await new BlobFiles(this.#blobs).remove(`logs/${checkId(jobId)}/`);
    await this.#db.transaction((tx) => deleteLogs(tx, jobId));
  }

  async *list(): AsyncGenerator<Kept<string>, void> {
    for (const { jobId: id, ...sum } of await listLogs(this.#db)) yield { id, ...sum };
  }

  /** All that is there from an offset on, cut anywhere. What is sealed meanwhile is found where it is then. */
  async *#bytesFrom(key: LogKey, offset: number): AsyncGenerator<Buffer, void> {
    for (let at = offset; ;) {
      const before = at;
      const segment = await segmentAt(this.#db, key, at);
      if (segment !== undefined) {
        const object = await this.#blobs.get(objectOf(key, segment));
        const bytes = await decompress(object);
        yield bytes.subarray(at - segment.start);
        at = segment.end;
        continue;
      }
      for (const { start, bytes } of await piecesFrom(this.#db, key, at, PIECES_AT_ONCE)) {
        if (start > at) break;
        yield bytes.subarray(at - start);
        at = start + bytes.length;
      }
      if (at === before) return;
    }
  }

  /** Makes an object of what is in the database alone, as far as there is no gap. */
  async #seal(key: LogKey): Promise<void> {
    for (;;) {
      const pieces: Buffer[] = [];
      const rows = await piecesFrom(this.#db, key, 0, Number.MAX_SAFE_INTEGER);
      const [first] = rows;
      if (first === undefined) return;
      let end = first.start;
      let size = 0;
      for (const { start, bytes } of rows) {
        if (start > end || size >= SEGMENT_BYTES) break;
        const fresh = bytes.subarray(Math.min(bytes.length, end - start));
        pieces.push(fresh);
        size += fresh.length;
        end += fresh.length;
      }
      const segment = { start: first.start, end };
      await this.#blobs.put(objectOf(key, segment), await compress(Buffer.concat(pieces)));
      await this.#db.transaction((tx) => addSegment(tx, key, segment, this.#now()));
    }
  }

  #grew(key: LogKey): void {
    for (const listener of this.#listeners.get(nameOf(key)) ?? []) listener();
  }

  /** What other processes append is not told: it is looked for. */
  #watch(key: LogKey, grew: () => void): NodeJS.Timeout {
    let seen: number | undefined;
    return setInterval(() => {
      logEnd(this.#db, key)
        .then((size) => {
          if (seen !== undefined && size > seen) grew();
          seen = size;
        })
        .catch(() => undefined);
    }, WATCH_MS);
  }
}

function keyOf(jobId: string, epoch: number): LogKey {
  return { jobId: checkId(jobId), epoch: Number(checkEpoch(epoch)) };
}

function nameOf({ jobId, epoch }: LogKey): string {
  return `logs/${jobId}/${epoch}`;
}

function objectOf(key: LogKey, { start, end }: { start: number; end: number }): string {
  return `${nameOf(key)}/${start}-${end}.zst`;
}
