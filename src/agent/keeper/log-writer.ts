import { open, type FileHandle } from 'node:fs/promises';
import { MAX_FRAME_DATA_BYTES, encodeFrame } from '../../protocol/log-frames.ts';
import type { Masker } from './mask.ts';

/** How long a full disk is waited for before the job is given up. */
const FULL_DISK_PATIENCE_MS = 60_000;
const FULL_DISK_RETRY_MS = 500;

/** Writes what a job prints as a framed log: masked, time-stamped, at most so many bytes. */
export class LogWriter {
  readonly #file: FileHandle;
  readonly #masker: Masker;
  readonly #limit: number;
  #bytes = 0;
  #full = false;

  static async create(path: string, masker: Masker, limit: number): Promise<LogWriter> {
    return new LogWriter(await open(path, 'w', 0o600), masker, limit);
  }

  private constructor(file: FileHandle, masker: Masker, limit: number) {
    this.#file = file;
    this.#masker = masker;
    this.#limit = limit;
  }

  /** Bytes of log so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns once it is written: whoever awaits this reads no faster than the disk takes. */
  async write(output: Buffer): Promise<void> {
    await this.#append(this.#masker.push(output));
  }

  /** A line of Pomona's own. */
  async note(text: string): Promise<void> {
    await this.#put(Buffer.from(`pomona: ${text}\n`));
  }

  async close(): Promise<void> {
    await this.#append(this.#masker.end());
    await this.#file.datasync();
    await this.#file.close();
  }

  async #append(shown: Buffer): Promise<void> {
    if (this.#full || shown.length === 0) return;
    if (this.#bytes + shown.length > this.#limit) {
      this.#full = true;
      await this.note(`the log is longer than ${this.#limit} bytes; the rest is not kept`);
      return;
    }
    await this.#put(shown);
  }

  async #put(data: Buffer): Promise<void> {
    const time = Date.now();
    for (let at = 0; at < data.length; at += MAX_FRAME_DATA_BYTES) {
      const frame = encodeFrame(time, data.subarray(at, at + MAX_FRAME_DATA_BYTES));
      await this.#writeWhole(frame);
      this.#bytes += frame.length;
    }
  }

  /** Each try writes at the same place, so a part written to a full disk is written over. */
  async #writeWhole(frame: Buffer): Promise<void> {
    const deadline = performance.now() + FULL_DISK_PATIENCE_MS;
    for (;;) {
      try {
        await writeAll(this.#file, frame, this.#bytes);
        return;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if ((code !== 'ENOSPC' && code !== 'EDQUOT') || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, FULL_DISK_RETRY_MS));
      }
    }
  }
}

async function writeAll(file: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let at = 0; at < data.length;) {
    at += (await file.write(data, at, data.length - at, position + at)).bytesWritten;
  }
}
