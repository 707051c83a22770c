import { readSync } from 'node:fs';

/**
 * LZ4 as Apple's Compression library frames it: blocks of `bv41` (sizes, then an LZ4 block) or `bv4-` (a
 * size, then the bytes themselves), and `bv4$` at the end; numbers are little-endian. A block may refer
 * to what came before it. Facts: Apple's documentation of COMPRESSION_LZ4; the LZ4 block format.
 */
const HISTORY_BYTES = 2 ** 16;
/** No writer makes blocks so large; a file that says so is damaged. */
const LARGEST_BLOCK = 2 ** 24;
const LEAST_MATCH = 4;
const MORE = 15;

/** Thrown for what is not of that form. */
export class Lz4Error extends Error {}

/** The uncompressed content of an open file, block by block; each is to be used before the next. */
export function* readAppleLz4(fd: number): Generator<Buffer> {
  const input = new Input(fd);
  let window = Buffer.alloc(HISTORY_BYTES + 2 ** 17);
  let history = 0;
  for (;;) {
    const magic = input.take(4).toString('latin1');
    if (magic === 'bv4$') return;
    if (magic !== 'bv41' && magic !== 'bv4-') throw new Lz4Error(`a block begins with ${magic}`);
    const size = sizeOf(input.take(4));
    if (history + size > window.length) {
      const larger = Buffer.alloc(HISTORY_BYTES + size);
      window.copy(larger, 0, 0, history);
      window = larger;
    }
    const end = history + size;
    if (magic === 'bv4-') input.take(size).copy(window, history);
    else decodeBlock(input.take(sizeOf(input.take(4))), window, history, end);
    yield window.subarray(history, end);
    const kept = Math.min(end, HISTORY_BYTES);
    window.copyWithin(0, end - kept, end);
    history = kept;
  }
}

function sizeOf(bytes: Buffer): number {
  const size = bytes.readUInt32LE();
  if (size > LARGEST_BLOCK) throw new Lz4Error(`a block of ${size} bytes`);
  return size;
}

/** Writes one LZ4 block into the target from `begin` to exactly `end`; what is before may be referred to. */
export function decodeBlock(source: Buffer, target: Buffer, begin: number, end: number): void {
  let from = 0;
  let to = begin;
  const length = (token: number): number => {
    let sum = token;
    for (let more = token === MORE ? 255 : 0; more === 255;) {
      more = source[from++] ?? fail();
      sum += more;
    }
    return sum;
  };
  while (from < source.length) {
    const token = source[from++] ?? fail();
    const literals = length(token >> 4);
    if (from + literals > source.length || to + literals > end) fail();
    source.copy(target, to, from, from + literals);
    from += literals;
    to += literals;
    if (from === source.length) break;
    const distance = (source[from] ?? 0) | ((source[from + 1] ?? fail()) << 8);
    from += 2;
    const match = length(token & MORE) + LEAST_MATCH;
    if (distance === 0 || distance > to || to + match > end) fail();
    if (distance >= match) target.copyWithin(to, to - distance, to - distance + match);
    else for (let at = to; at < to + match; at += 1) target[at] = target[at - distance] ?? 0;
    to += match;
  }
  if (to !== end) fail();
}

function fail(): never {
  throw new Lz4Error('a block is damaged');
}

const READ_BYTES = 2 ** 20;

/** Bytes of a file, in order. */
class Input {
  readonly #fd: number;
  #bytes = Buffer.alloc(READ_BYTES);
  #at = 0;
  #end = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next bytes, good until the next call. Throws when the file ends before. */
  take(count: number): Buffer {
    if (this.#end - this.#at < count) this.#fill(count);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  #fill(count: number): void {
    const left = this.#bytes.subarray(this.#at, this.#end);
    const bytes = count > this.#bytes.length ? Buffer.alloc(count) : this.#bytes;
    left.copy(bytes);
    this.#end = left.length;
    this.#at = 0;
    this.#bytes = bytes;
    while (this.#end < count) {
      const got = readSync(this.#fd, bytes, this.#end, bytes.length - this.#end, null);
      if (got === 0) throw new Lz4Error('it ends early');
      this.#end += got;
    }
  }
}
