import type { ChunkTable } from './chunk-table.ts';
import { ImageFormatError } from './format/manifest.ts';
import { idOf, type FileChunk } from './chunks.ts';

/** One range of one pack, with the chunks in it. */
export interface Fetch {
  /** Number of the pack in the placement. */
  readonly pack: number;
  readonly offset: number;
  readonly length: number;
  readonly chunks: readonly FetchedChunk[];
}

/** A chunk with every place that wants it. `at`: in the range. */
export interface FetchedChunk {
  readonly at: number;
  readonly stored: number;
  readonly targets: readonly [FileChunk, ...FileChunk[]];
}

/** Asking for a few unwanted bytes is cheaper than asking twice. */
const GAP_BYTES = 2 ** 17;
const RANGE_BYTES = 2 ** 23;

/** The fewest requests that bring what is missing: ranges in the order of packs and offsets. */
export function planFetch(missing: readonly FileChunk[], places: ChunkTable): Fetch[] {
  const sorted = missing
    .map((chunk) => {
      const place = places.get(chunk.entry.ids, chunk.index * idOf(chunk).length);
      if (place === undefined) throw new ImageFormatError('placement: a chunk is missing from it');
      return { chunk, place };
    })
    .toSorted((a, b) => a.place[0] - b.place[0] || a.place[1] - b.place[1]);
  const fetches: { pack: number; offset: number; length: number; chunks: Growing[] }[] = [];
  for (const { chunk, place } of sorted) {
    const [pack, offset, stored] = place;
    const last = fetches.at(-1);
    const previous = last?.chunks.at(-1);
    if (last?.pack === pack && previous !== undefined && last.offset + previous.at === offset) {
      previous.targets.push(chunk);
      continue;
    }
    const isNear =
      last?.pack === pack &&
      offset - (last.offset + last.length) <= GAP_BYTES &&
      offset + stored - last.offset <= RANGE_BYTES;
    if (isNear) {
      last.chunks.push({ at: offset - last.offset, stored, targets: [chunk] });
      last.length = offset + stored - last.offset;
    } else {
      fetches.push({
        ...{ pack, offset, length: stored },
        chunks: [{ at: 0, stored, targets: [chunk] }],
      });
    }
  }
  return fetches;
}

interface Growing {
  readonly at: number;
  readonly stored: number;
  readonly targets: [FileChunk, ...FileChunk[]];
}
