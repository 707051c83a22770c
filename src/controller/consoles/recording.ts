import { StringDecoder } from 'node:string_decoder';
import { encodeFrame, FrameDecoder, MAX_FRAME_DATA_BYTES } from '../../protocol/log-frames.ts';
import type { LogFiles } from '../files/file-stores.ts';
import type { ConsoleRow } from '../../db/queries/consoles.ts';

/** What a shell shows is kept up to this size. */
const MOST_BYTES = 64 * 2 ** 20;
/** Recordings are kept as logs of their consoles, in their first epoch. */
const EPOCH = 1;

/** Writes down what a shell shows, as it comes. */
export class Recording {
  readonly #logs: LogFiles;
  readonly #id: string;
  #writing: Promise<void> = Promise.resolve();
  #bytes = 0;
  #failed: unknown;

  constructor(logs: LogFiles, id: string) {
    this.#logs = logs;
    this.#id = id;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws what an earlier piece failed with: a shell that is not recorded must not go on. */
  add(data: Buffer, now: number): void {
    if (this.#failed !== undefined) throw this.#failed as Error;
    for (let at = 0; at < data.length && this.#bytes < MOST_BYTES; at += MAX_FRAME_DATA_BYTES) {
      const frame = encodeFrame(now, data.subarray(at, at + MAX_FRAME_DATA_BYTES));
      const offset = this.#bytes;
      this.#bytes += frame.length;
      this.#writing = this.#writing.then(async () => {
        if (this.#failed !== undefined) return;
        try {
          await this.#logs.append(this.#id, EPOCH, offset, frame);
        } catch (error) {
          this.#failed = error;
        }
      });
    }
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#logs.finish(this.#id, EPOCH);
  }
}

/** A recording as an asciicast, version 2: a heading, and a line for each piece. */
export async function* asciicast(logs: LogFiles, row: ConsoleRow): AsyncGenerator<string> {
  const { cols: width, lines: height, opened_at: openedAt, worker_id: workerId, who } = row;
  const title = `${who} in ${workerId}`;
  const timestamp = Math.floor(Number(openedAt) / 1000);
  yield `${JSON.stringify({ version: 2, width, height, timestamp, title })}\n`;
  const frames = new FrameDecoder();
  // A piece may end within a character.
  const text = new StringDecoder('utf8');
  for await (const piece of logs.read(row.id, EPOCH, 0)) {
    for (const { time, data } of frames.push(piece)) {
      const seconds = Math.max(0, time - Number(openedAt)) / 1000;
      yield `${JSON.stringify([seconds, 'o', text.write(data)])}\n`;
    }
  }
}
