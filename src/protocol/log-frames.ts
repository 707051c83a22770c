/**
 * The format of a job's log, in files and on the wire: frames, one after the other.
 *
 *   u32 BE  length of the data (1 to 65536)
 *   u48 BE  wall-clock milliseconds of the host when the data was read from the job
 *   bytes   what the job printed (stdout and stderr in the order printed; any bytes)
 *
 * Offsets in APIs are byte offsets in the framed log and always point at the start of a frame, so
 * that a reader can go on anywhere it stopped. A frame may end within a line or a UTF-8 character.
 */
export const FRAME_HEADER_BYTES = 10;
export const MAX_FRAME_DATA_BYTES = 65_536;

export interface LogFrame {
  /** Wall-clock milliseconds. */
  readonly time: number;
  readonly data: Buffer;
}

/** Encodes one frame. `data` must hold 1 to `MAX_FRAME_DATA_BYTES` bytes. */
export function encodeFrame(time: number, data: Uint8Array): Buffer {
  if (data.length === 0 || data.length > MAX_FRAME_DATA_BYTES) {
    throw new RangeError(
      `a log frame holds 1 to ${MAX_FRAME_DATA_BYTES} bytes, not ${data.length}`,
    );
  }
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + data.length);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUIntBE(time, 4, 6);
  frame.set(data, FRAME_HEADER_BYTES);
  return frame;
}

/** Thrown when bytes are not a framed log. */
export class LogFormatError extends Error {
  readonly code = 'log_format';
}

/** Splits a stream of bytes, cut anywhere, into frames. Holds at most one frame. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);
  #offset: number;

  /** @param offset where in the log the first byte pushed stands */
  constructor(offset = 0) {
    this.#offset = offset;
  }

  /** Offset of the first byte that belongs to no frame returned so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Complete frames in `bytes` and what was left before. Throws `LogFormatError`. */
  push(bytes: Uint8Array): LogFrame[] {
    const all = this.#rest.length === 0 ? toBuffer(bytes) : Buffer.concat([this.#rest, bytes]);
    const frames: LogFrame[] = [];
    let at = 0;
    while (all.length - at >= FRAME_HEADER_BYTES) {
      const length = all.readUInt32BE(at);
      if (length === 0 || length > MAX_FRAME_DATA_BYTES) {
        throw new LogFormatError(`no log frame at offset ${this.#offset}: its length is ${length}`);
      }
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > all.length) break;
      frames.push({
        time: all.readUIntBE(at + 4, 6),
        data: all.subarray(at + FRAME_HEADER_BYTES, end),
      });
      this.#offset += end - at;
      at = end;
    }
    this.#rest = Buffer.from(all.subarray(at));
    return frames;
  }
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
