import type { FastifyReply } from 'fastify';
import type { KeptFile } from '../../files/kept-file.ts';
import { sendStream } from './stream-writer.ts';

/** Answers with the bytes of a file, and closes it. */
export async function sendFile(
  reply: FastifyReply,
  file: KeptFile,
  headers: Readonly<Record<string, string>>,
  stallMs: number,
): Promise<void> {
  try {
    const all = {
      ...headers,
      'content-type': 'application/octet-stream',
      'content-length': file.size,
    };
    await sendStream(reply, all, stallMs, async (writer) => {
      for await (const piece of file.read()) await writer.write(piece);
    });
  } finally {
    await file.close();
  }
}
