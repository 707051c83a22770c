import { ID_BYTES } from './format/chunk.ts';

/** Where a chunk's bytes are: three unsigned 32-bit numbers that the owner of the table chose. */
export type Place = readonly [number, number, number];

const PLACE_WORDS = 3;
const FIRST_CAPACITY = 1024;

/**
 * Chunk ids with a place for each, in shared memory: 45 bytes an entry and room to spare, where a
 * `Map` takes some 300. Threads may look things up while nothing is added.
 */
export class ChunkTable {
  #keys: Uint8Array;
  #places: Uint32Array;
  #used: Uint8Array;
  #capacity: number;
  #size = 0;

  /** @param shared the memory of a table of another thread, as `share` gives it */
  constructor(shared?: SharedChunkTable) {
    this.#capacity = shared?.capacity ?? FIRST_CAPACITY;
    this.#size = shared?.size ?? 0;
    this.#keys = new Uint8Array(shared?.keys ?? new SharedArrayBuffer(this.#capacity * ID_BYTES));
    this.#places = new Uint32Array(
      shared?.places ?? new SharedArrayBuffer(this.#capacity * PLACE_WORDS * 4),
    );
    this.#used = new Uint8Array(shared?.used ?? new SharedArrayBuffer(this.#capacity));
  }

  get size(): number {
    return this.#size;
  }

  /** To hand to another thread; what is added later it may not see. */
  share(): SharedChunkTable {
    return {
      capacity: this.#capacity,
      size: this.#size,
      keys: this.#keys.buffer as SharedArrayBuffer,
      places: this.#places.buffer as SharedArrayBuffer,
      used: this.#used.buffer as SharedArrayBuffer,
    };
  }

  /** @param at where the id begins in `ids` */
  has(ids: Uint8Array, at = 0): boolean {
    return this.#used[this.#slot(ids, at)] === 1;
  }

  get(ids: Uint8Array, at = 0): Place | undefined {
    const slot = this.#slot(ids, at);
    if (this.#used[slot] !== 1) return undefined;
    const [a = 0, b = 0, c = 0] = this.#places.subarray(slot * PLACE_WORDS);
    return [a, b, c];
  }

  /** Adds an id; false when it is there already (its place stays as it is). */
  add(ids: Uint8Array, at: number, place: Place): boolean {
    if (this.#size * 3 >= this.#capacity * 2) this.#grow();
    const slot = this.#slot(ids, at);
    if (this.#used[slot] === 1) return false;
    this.#keys.set(ids.subarray(at, at + ID_BYTES), slot * ID_BYTES);
    this.#places.set(place, slot * PLACE_WORDS);
    this.#used[slot] = 1;
    this.#size += 1;
    return true;
  }

  *[Symbol.iterator](): Generator<readonly [id: Uint8Array, place: Place], void> {
    for (let slot = 0; slot < this.#capacity; slot += 1) {
      if (this.#used[slot] !== 1) continue;
      const [a = 0, b = 0, c = 0] = this.#places.subarray(slot * PLACE_WORDS);
      yield [this.#keys.subarray(slot * ID_BYTES, (slot + 1) * ID_BYTES), [a, b, c]];
    }
  }

  /** The slot that has the id, or the free one where it belongs. Ids are hashes: spread already. */
  #slot(ids: Uint8Array, at: number): number {
    const start =
      (ids[at] ?? 0) |
      ((ids[at + 1] ?? 0) << 8) |
      ((ids[at + 2] ?? 0) << 16) |
      ((ids[at + 3] ?? 0) << 24);
    for (let slot = (start >>> 0) % this.#capacity; ; slot = (slot + 1) % this.#capacity) {
      if (this.#used[slot] !== 1 || this.#hasKey(slot, ids, at)) return slot;
    }
  }

  #hasKey(slot: number, ids: Uint8Array, at: number): boolean {
    const key = slot * ID_BYTES;
    for (let i = 0; i < ID_BYTES; i += 1) if (this.#keys[key + i] !== ids[at + i]) return false;
    return true;
  }

  #grow(): void {
    const bigger = new ChunkTable(emptyTable(this.#capacity * 2));
    for (const [id, place] of this) bigger.add(id, 0, place);
    this.#capacity = bigger.#capacity;
    this.#keys = bigger.#keys;
    this.#places = bigger.#places;
    this.#used = bigger.#used;
  }
}

export interface SharedChunkTable {
  readonly capacity: number;
  readonly size: number;
  readonly keys: SharedArrayBuffer;
  readonly places: SharedArrayBuffer;
  readonly used: SharedArrayBuffer;
}

function emptyTable(capacity: number): SharedChunkTable {
  return {
    capacity,
    size: 0,
    keys: new SharedArrayBuffer(capacity * ID_BYTES),
    places: new SharedArrayBuffer(capacity * PLACE_WORDS * 4),
    used: new SharedArrayBuffer(capacity),
  };
}
