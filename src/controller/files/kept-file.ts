import type { FileHandle } from 'node:fs/promises';

/** A file that is kept whole, wherever that is. Whoever opened it closes it. */
export interface KeptFile {
  readonly size: number;
  /** Its bytes from the beginning, in pieces. Throws when it became shorter meanwhile. */
  read(): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

const PIECE_BYTES = 256 * 1024;

/** A file on the disk as a kept one. */
export async function keptFile(file: FileHandle): Promise<KeptFile> {
  const { size } = await file.stat();
  return { size, read: () => piecesOf(file, size), close: () => file.close() };
}

async function* piecesOf(file: FileHandle, size: number): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < size;) {
    const room = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, size - at));
    const { bytesRead } = await file.read(room, 0, room.length, at);
    if (bytesRead === 0) throw new Error('a stored file became shorter while it was sent');
    yield room.subarray(0, bytesRead);
    at += bytesRead;
  }
}
