import type { FileHandle } from 'node:fs/promises';
import type { FastifyReply } from 'fastify';
import { sendStream } from './stream-writer.ts';

const PIECE_BYTES = 256 * 1024;

/** Answers with the bytes of a file, and closes it. */
export async function sendFile(
  reply: FastifyReply,
  file: FileHandle,
  headers: Readonly<Record<string, string>>,
  stallMs: number,
): Promise<void> {
  try {
    const { size } = await file.stat();
    const all = {
      ...headers,
      'content-type': 'application/octet-stream',
      'content-length': size,
    };
    await sendStream(reply, all, stallMs, async (writer) => {
      for (let at = 0; at < size;) {
        const room = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, size - at));
        const { bytesRead } = await file.read(room, 0, room.length, at);
        if (bytesRead === 0) throw new Error('a stored file became shorter while it was sent');
        await writer.write(room.subarray(0, bytesRead));
        at += bytesRead;
      }
    });
  } finally {
    await file.close();
  }
}
