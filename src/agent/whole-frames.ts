import { open } from 'node:fs/promises';
import { isMissing } from '../platform/atomic-file.ts';
import { FRAME_HEADER_BYTES } from '../protocol/log-frames.ts';

/** Bytes of the complete frames in a log file whose writer died; the rest was never written. */
export async function wholeFrames(path: string): Promise<number> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
  try {
    const { size } = await file.stat();
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    for (let at = 0; ;) {
      const { bytesRead } = await file.read(header, 0, FRAME_HEADER_BYTES, at);
      if (bytesRead < FRAME_HEADER_BYTES) return at;
      const end = at + FRAME_HEADER_BYTES + header.readUInt32BE(0);
      if (end > size) return at;
      at = end;
    }
  } finally {
    await file.close();
  }
}
