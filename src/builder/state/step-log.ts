import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isMissing } from '../../platform/atomic-file.ts';

const READ_BYTES = 2 ** 18;
/** Kept in memory while the disk is full. */
const KEPT_BACK_BYTES = 2 ** 18;
const CLOSE_TRIES = 20;
const BETWEEN_TRIES_MS = 100;

/** The log of one step, written by one and read by any number while it grows. */
export class StepLog {
  readonly #file: FileHandle;
  readonly #limit: number;
  #size = 0;
  #written = 0;
  #full = false;
  #keptBack: Buffer = Buffer.alloc(0);
  #grew = Promise.withResolvers<void>();

  /** Of what is longer than `limit` bytes the rest is not kept, and a line says so. */
  static async create(path: string, limit: number): Promise<StepLog> {
    return new StepLog(await open(path, 'w', 0o600), limit);
  }

  private constructor(file: FileHandle, limit: number) {
    this.#file = file;
    this.#limit = limit;
  }

  /** Settles when there is more than there was at the call. */
  get grew(): Promise<void> {
    return this.#grew.promise;
  }

  async write(data: string | Uint8Array): Promise<void> {
    if (this.#full) return;
    let bytes = Buffer.from(data as Uint8Array);
    if (this.#size + bytes.length > this.#limit) {
      this.#full = true;
      const note = `\npomona: the log is longer than ${this.#limit} bytes; the rest is not kept\n`;
      bytes = Buffer.concat([bytes.subarray(0, this.#limit - this.#size), Buffer.from(note)]);
    }
    this.#size += bytes.length;
    await this.#append(bytes);
  }

  get size(): number {
    return this.#size;
  }

  /** Writes what a full disk kept back, now that what the step made is gone. */
  async close(): Promise<void> {
    try {
      for (let tries = 1; this.#keptBack.length > 0 && tries <= CLOSE_TRIES; tries += 1) {
        if (tries > 1) await delay(BETWEEN_TRIES_MS);
        await this.#append(Buffer.alloc(0));
      }
    } finally {
      await this.#file.close();
    }
  }

  /** What does not fit on a full disk is kept in memory, up to a bound, and the rest is lost. */
  async #append(bytes: Buffer): Promise<void> {
    const all = Buffer.concat([this.#keptBack, bytes]);
    try {
      await this.#file.appendFile(all);
      this.#keptBack = Buffer.alloc(0);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
      // Of what was written in part the rest is not known; so much is cut off again.
      await this.#file.truncate(this.#written);
      this.#keptBack = all.subarray(0, KEPT_BACK_BYTES);
      return;
    }
    this.#written += all.length;
    const before = this.#grew;
    this.#grew = Promise.withResolvers();
    before.resolve();
  }
}

/** Reads a log from where it was left off. */
export class LogReader {
  readonly #path: string;
  #file: FileHandle | undefined;
  #offset: number;

  constructor(path: string, offset = 0) {
    this.#path = path;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Hands on all that is there now, piece by piece. A log that is not there yet is empty. */
  async drain(to: (chunk: Buffer) => void | Promise<void>): Promise<void> {
    if (this.#file === undefined) {
      try {
        this.#file = await open(this.#path, 'r');
      } catch (error) {
        if (isMissing(error)) return;
        throw error;
      }
    }
    for (;;) {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const { bytesRead } = await this.#file.read(buffer, 0, READ_BYTES, this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      await to(buffer.subarray(0, bytesRead));
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

/** Hands on a whole log. */
export async function replayLog(
  path: string,
  to: (chunk: Buffer) => void | Promise<void>,
): Promise<void> {
  const reader = new LogReader(path);
  try {
    await reader.drain(to);
  } finally {
    await reader.close();
  }
}
