import { hash } from 'node:crypto';

/** Files are cut into chunks of this size, aligned to it; the last may be shorter. */
export const CHUNK_BYTES = 2 ** 18;

/** A chunk is known by the SHA-256 of its bytes. */
export const ID_BYTES = 32;

/** Stands for a chunk that is all zeros, whatever its length; such a chunk is stored nowhere. */
export const ZERO_ID: Buffer = Buffer.alloc(ID_BYTES);

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** The id of a chunk's bytes, at most `CHUNK_BYTES` of them. */
export function chunkId(bytes: Buffer): Buffer {
  return isZeros(bytes) ? ZERO_ID : hash('sha256', bytes, 'buffer');
}

/** Whether bytes, however many, are all zeros. */
export function isZeros(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const part = bytes.subarray(at, at + CHUNK_BYTES);
    if (!part.equals(ZEROS.subarray(0, part.length))) return false;
  }
  return true;
}

export function isZeroId(id: Uint8Array): boolean {
  return ZERO_ID.equals(id);
}

/** How many chunks a file of this size has. */
export function chunkCount(size: number): number {
  return Math.ceil(size / CHUNK_BYTES);
}

/** Bytes of chunk number `index` of a file of this size. */
export function chunkLength(size: number, index: number): number {
  return Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES);
}
