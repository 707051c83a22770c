import { bytesOf, chunksOf } from './chunks.ts';
import type { LocalImages } from './local-images.ts';

export interface Evicted {
  readonly digest: string;
  readonly bytes: number;
}

/**
 * Removes images that came from a remote, the least recently used first, until what is left of all images
 * takes no more than the budget. Older contents of a name, which no name has any more, go in any case.
 * What is in `keep` stays, and so does what was made or imported here: it may be nowhere else.
 */
export async function evictImages(
  images: LocalImages,
  budgetBytes: number,
  keep: ReadonlySet<string>,
): Promise<Evicted[]> {
  const tagged = new Set((await images.tags()).map((tag) => tag.digest));
  const held = await Promise.all(
    (await images.digests()).map(async (digest) => ({
      digest,
      bytes: bytesOf([...chunksOf(await images.manifest(digest))]),
      pulled: await images.wasPulled(digest),
      usedAt: await images.usedAt(digest),
    })),
  );
  let total = held.reduce((sum, { bytes }) => sum + bytes, 0);
  const evicted: Evicted[] = [];
  const candidates = held
    .filter(({ digest, pulled }) => pulled && !keep.has(digest))
    .toSorted((a, b) => a.usedAt - b.usedAt);
  for (const { digest, bytes } of candidates) {
    if (tagged.has(digest) && total <= budgetBytes) continue;
    await images.remove(digest);
    total -= bytes;
    evicted.push({ digest, bytes });
  }
  return evicted;
}
