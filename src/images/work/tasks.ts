import { hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { unpackSlice } from '../formats/tart-slice.ts';
import { findSecrets, type SecretMatch } from '../secrets/find.ts';
import { LONGEST_MATCH } from '../secrets/rules.ts';
import { CHUNK_BYTES, chunkId, ID_BYTES, isZeroId, ZERO_ID } from '../format/chunk.ts';

/**
 * The heavy work on chunks, done synchronously on a thread of its own. Files are open already;
 * their descriptors belong to the whole process. Ids are `ID_BYTES` each, one after the other.
 */

let scratch = Buffer.alloc(0);

/**
 * Room for what is read, until the next task of this thread: new buffers would pile up until they are
 * collected.
 */
function scratchOf(length: number): Buffer {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length);
  return scratch.subarray(0, length);
}

/** A chunk of an open file. */
export interface ChunkAt {
  readonly offset: number;
  readonly length: number;
}

export interface ScanTask {
  readonly fd: number;
  /** A multiple of `CHUNK_BYTES`. */
  readonly offset: number;
  readonly length: number;
  /** When given, chunks that are not zero are written there, at the same offsets. */
  readonly copyTo?: number;
}

/** The ids of the chunks in a part of a file. Throws when the file ends early. */
export function scan({ fd, offset, length, copyTo }: ScanTask): Uint8Array {
  const bytes = scratchOf(length);
  readWhole(fd, bytes, offset);
  const ids = Buffer.allocUnsafe(Math.ceil(length / CHUNK_BYTES) * ID_BYTES);
  for (let at = 0; at < length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    const id = chunkId(chunk);
    id.copy(ids, (at / CHUNK_BYTES) * ID_BYTES);
    if (copyTo !== undefined && id !== ZERO_ID) writeWhole(copyTo, chunk, offset + at);
  }
  return ids;
}

export interface SearchTask {
  readonly fd: number;
  /** The part of the file to look through, in bytes. */
  readonly from: number;
  readonly to: number;
  /** Bytes of the whole file. */
  readonly size: number;
}

/**
 * The secrets in a part of a file and across its edges, each with its place in the file. Throws when
 * the file ends early.
 */
export function search({ fd, from, to, size }: SearchTask): SecretMatch[] {
  const begin = Math.max(0, from - LONGEST_MATCH);
  const bytes = scratchOf(Math.min(size, to + LONGEST_MATCH) - begin);
  readWhole(fd, bytes, begin);
  return findSecrets(bytes).map((match) => ({ ...match, at: begin + match.at }));
}

export interface CompressTask {
  readonly fd: number;
  readonly chunks: readonly ChunkAt[];
  readonly ids: Uint8Array;
}

export interface Compressed {
  /** The stored forms of the chunks, one after the other. */
  readonly data: Uint8Array<ArrayBuffer>;
  readonly lengths: readonly number[];
  /** Number of the first chunk that is not what its id says; then the rest is missing. */
  readonly altered: number | undefined;
}

const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** The stored forms of chunks: a zstd frame, or the bytes themselves where that is no shorter. */
export function compress({ fd, chunks, ids }: CompressTask): Compressed {
  const parts: Buffer[] = [];
  for (const [index, { offset, length }] of chunks.entries()) {
    const bytes = scratchOf(length);
    readWhole(fd, bytes, offset);
    if (!isChunk(bytes, ids, index)) {
      return { data: new Uint8Array(), lengths: [], altered: index };
    }
    const shorter = zstdCompressSync(bytes, LEVEL);
    parts.push(shorter.length < length ? shorter : Buffer.from(bytes));
  }
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { data, lengths: parts.map((part) => part.length), altered: undefined };
}

export interface StoredChunk {
  /** Where its stored form is in the data, and how long that is. */
  readonly at: number;
  readonly stored: number;
  readonly length: number;
  readonly targets: readonly { readonly fd: number; readonly offset: number }[];
}

export interface StoreTask {
  readonly data: Uint8Array;
  readonly chunks: readonly StoredChunk[];
  readonly ids: Uint8Array;
}

/** Writes chunks from their stored forms. Returns the number of the first damaged one, if any. */
export function store({ data, chunks, ids }: StoreTask): number | undefined {
  for (const [index, { at, stored, length, targets }] of chunks.entries()) {
    const bytes = expand(Buffer.from(data.buffer, data.byteOffset + at, stored), length);
    if (bytes === undefined || !isChunk(bytes, ids, index)) return index;
    for (const { fd, offset } of targets) writeWhole(fd, bytes, offset);
  }
  return undefined;
}

export interface CheckTask {
  readonly fd: number;
  /** Bytes of the whole file it should be. */
  readonly size: number;
  /** Number of the first chunk to look at. */
  readonly first: number;
  /** What the chunks from there on should be. */
  readonly ids: Uint8Array;
}

/** For each chunk 1 when it is what its id says, else 0. A file that ends early has zeros there. */
export function check({ fd, size, first, ids }: CheckTask): Uint8Array {
  const count = ids.length / ID_BYTES;
  const start = first * CHUNK_BYTES;
  const bytes = scratchOf(Math.min(count * CHUNK_BYTES, size - start));
  bytes.fill(0, readSome(fd, bytes, start));
  const right = new Uint8Array(count);
  for (let index = 0; index < count; index += 1) {
    const chunk = bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
    right[index] = isChunk(chunk, ids, index) ? 1 : 0;
  }
  return right;
}

export interface CopyTask {
  readonly from: number;
  readonly ids: Uint8Array;
  readonly chunks: readonly {
    readonly offset: number;
    readonly length: number;
    readonly targets: readonly { readonly fd: number; readonly offset: number }[];
  }[];
}

/** Copies chunks from a file. For each 1 when it was there as its id says, else 0. */
export function copy({ from, ids, chunks }: CopyTask): Uint8Array {
  const right = new Uint8Array(chunks.length);
  for (const [index, { offset, length, targets }] of chunks.entries()) {
    const bytes = scratchOf(length);
    if (readSome(from, bytes, offset) < length || !isChunk(bytes, ids, index)) continue;
    for (const target of targets) writeWhole(target.fd, bytes, target.offset);
    right[index] = 1;
  }
  return right;
}

function isChunk(bytes: Buffer, ids: Uint8Array, index: number): boolean {
  const id = ids.subarray(index * ID_BYTES, (index + 1) * ID_BYTES);
  if (isZeroId(id)) return chunkId(bytes) === ZERO_ID;
  return hash('sha256', bytes, 'buffer').equals(id);
}

/** Undefined when it is no frame of that many bytes. */
function expand(stored: Buffer, length: number): Buffer | undefined {
  if (stored.length === length) return stored;
  try {
    const bytes = zstdDecompressSync(stored, { maxOutputLength: CHUNK_BYTES });
    return bytes.length === length ? bytes : undefined;
  } catch {
    return undefined;
  }
}

function readWhole(fd: number, into: Buffer, offset: number): void {
  const read = readSome(fd, into, offset);
  if (read < into.length) throw new Error('a file became shorter while it was read');
}

function readSome(fd: number, into: Buffer, offset: number): number {
  let read = 0;
  while (read < into.length) {
    const got = readSync(fd, into, read, into.length - read, offset + read);
    if (got === 0) break;
    read += got;
  }
  return read;
}

function writeWhole(fd: number, bytes: Buffer, offset: number): void {
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, offset + written);
  }
}

export const TASKS = { scan, search, unpackSlice, compress, store, check, copy } as const;
export type Tasks = typeof TASKS;
