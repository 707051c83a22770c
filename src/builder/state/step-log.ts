import { open, type FileHandle } from 'node:fs/promises';
import { isMissing } from '../../platform/atomic-file.ts';

const READ_BYTES = 2 ** 18;

/** The log of one step, written by one and read by any number while it grows. */
export class StepLog {
  readonly #file: FileHandle;
  #size = 0;
  #grew = Promise.withResolvers<void>();

  static async create(path: string): Promise<StepLog> {
    return new StepLog(await open(path, 'w', 0o600));
  }

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Settles when there is more than there was at the call. */
  get grew(): Promise<void> {
    return this.#grew.promise;
  }

  async write(data: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(data as Uint8Array);
    await this.#file.appendFile(bytes);
    this.#size += bytes.length;
    const before = this.#grew;
    this.#grew = Promise.withResolvers();
    before.resolve();
  }

  get size(): number {
    return this.#size;
  }

  close(): Promise<void> {
    return this.#file.close();
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
