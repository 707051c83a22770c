import { CHUNK_BYTES, chunkLength, ID_BYTES, isZeroId } from './format/chunk.ts';
import type { FileEntry, Manifest } from './format/manifest.ts';

/** One chunk of a file of an image. */
export interface FileChunk {
  readonly entry: FileEntry;
  /** Number of the chunk in the file. */
  readonly index: number;
}

export function idOf({ entry, index }: FileChunk): Buffer {
  return entry.ids.subarray(index * ID_BYTES, (index + 1) * ID_BYTES);
}

export function lengthOf({ entry, index }: FileChunk): number {
  return chunkLength(entry.size, index);
}

export function offsetOf({ index }: FileChunk): number {
  return index * CHUNK_BYTES;
}

export function bytesOf(chunks: readonly FileChunk[]): number {
  return chunks.reduce((sum, chunk) => sum + lengthOf(chunk), 0);
}

/** All chunks of an image that are not zeros, in order. */
export function* chunksOf(manifest: Manifest): Generator<FileChunk, void> {
  for (const entry of manifest.entries) {
    if (entry.type !== 'file') continue;
    for (let index = 0; index * ID_BYTES < entry.ids.length; index += 1) {
      const chunk = { entry, index };
      if (!isZeroId(idOf(chunk))) yield chunk;
    }
  }
}

/** Chunks that follow each other in a file together, at most so many. */
export function runsOf(chunks: readonly FileChunk[], most: number): FileChunk[][] {
  const runs: FileChunk[][] = [];
  for (const chunk of chunks) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const follows = last?.entry === chunk.entry && last.index + 1 === chunk.index;
    if (run !== undefined && follows && run.length < most) run.push(chunk);
    else runs.push([chunk]);
  }
  return runs;
}
