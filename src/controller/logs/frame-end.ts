import {
  FRAME_HEADER_BYTES,
  LogFormatError,
  MAX_FRAME_DATA_BYTES,
} from '../../protocol/log-frames.ts';

/**
 * Where the last frame ends that lies wholly in the first `limit` bytes; 0 when none does.
 * `bytes` starts with a frame. Throws `LogFormatError`.
 */
export function frameEnd(bytes: Buffer, limit: number = bytes.length): number {
  let at = 0;
  while (at + FRAME_HEADER_BYTES <= limit) {
    const length = bytes.readUInt32BE(at);
    if (length === 0 || length > MAX_FRAME_DATA_BYTES) {
      throw new LogFormatError(`no log frame at byte ${at} of this piece: its length is ${length}`);
    }
    const end = at + FRAME_HEADER_BYTES + length;
    if (end > limit) break;
    at = end;
  }
  return at;
}
