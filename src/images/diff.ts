import { ChunkTable } from './chunk-table.ts';
import { ID_BYTES } from './format/chunk.ts';
import { imageSize, type Entry, type Manifest } from './format/manifest.ts';
import { chunksOf, lengthOf } from './chunks.ts';

export interface ImageDiff {
  readonly entries: readonly {
    readonly path: string;
    readonly change: 'added' | 'removed' | 'changed';
  }[];
  /** Bytes of the new image whose chunks the old one has not. */
  readonly newBytes: number;
  readonly totalBytes: number;
}

/** What the second image has that the first has not, by entries and by chunks. */
export function diffImages(before: Manifest, after: Manifest): ImageDiff {
  const old = new Map(before.entries.map((entry) => [keyOf(entry), entry]));
  const entries: ImageDiff['entries'][number][] = [];
  for (const entry of after.entries) {
    const was = old.get(keyOf(entry));
    old.delete(keyOf(entry));
    if (was === undefined) entries.push({ path: entry.path.toString(), change: 'added' });
    else if (!isEqual(was, entry)) entries.push({ path: entry.path.toString(), change: 'changed' });
  }
  for (const entry of old.values()) {
    entries.push({ path: entry.path.toString(), change: 'removed' });
  }
  const chunks = new ChunkTable();
  for (const { entry, index } of chunksOf(before))
    chunks.add(entry.ids, index * ID_BYTES, [0, 0, 0]);
  let newBytes = 0;
  for (const chunk of chunksOf(after)) {
    const isNew = chunks.add(chunk.entry.ids, chunk.index * ID_BYTES, [0, 0, 0]);
    if (isNew) newBytes += lengthOf(chunk);
  }
  return { entries, newBytes, totalBytes: imageSize(after) };
}

function keyOf(entry: Entry): string {
  return entry.path.toString('latin1');
}

/** Times alone make no change. */
function isEqual(a: Entry, b: Entry): boolean {
  switch (a.type) {
    case 'file':
      return b.type === 'file' && a.mode === b.mode && a.size === b.size && a.ids.equals(b.ids);
    case 'directory':
      return b.type === 'directory' && a.mode === b.mode;
    case 'symlink':
    case 'hard-link':
      return a.type === b.type && 'target' in b && a.target.equals(b.target);
  }
}
