import { ID_BYTES, CHUNK_BYTES } from './format/chunk.ts';
import type { LocalImages } from './local-images.ts';
import { OpenFiles } from './open-files.ts';
import { inParts } from './parts.ts';
import { below } from './paths.ts';
import type { WorkOptions } from './progress.ts';
import { imageSize } from './format/manifest.ts';
import type { Threads } from './work/threads.ts';

const TASK_CHUNKS = 16;

/** A chunk of a local image that is not what it was. */
export interface Damage {
  /** Below the image's root; empty for an image of one file. */
  readonly path: string;
  readonly offset: number;
}

/** Reads a whole local image and compares it with its manifest. */
export async function verifyImage(
  images: LocalImages,
  threads: Threads,
  digest: string,
  options: WorkOptions = {},
): Promise<Damage[]> {
  const manifest = await images.manifest(digest);
  const files = new OpenFiles('r');
  const damage: Damage[] = [];
  const totalBytes = imageSize(manifest);
  let doneBytes = 0;
  try {
    for (const entry of manifest.entries) {
      if (entry.type !== 'file') continue;
      const path = below(images.dataPath(digest), entry.path);
      const indexes = Array.from({ length: entry.ids.length / ID_BYTES }, (_, index) => index);
      await inParts(indexes, TASK_CHUNKS, threads.width, async (part) => {
        options.signal?.throwIfAborted();
        const first = part[0] ?? 0;
        const ids = entry.ids.subarray(first * ID_BYTES, (first + part.length) * ID_BYTES);
        const right = await files.use(path, (fd) =>
          threads.run('check', { fd, size: entry.size, first, ids }),
        );
        for (const index of part) {
          if (right[index - first] === 1) continue;
          damage.push({ path: entry.path.toString(), offset: index * CHUNK_BYTES });
        }
        doneBytes += part.length * CHUNK_BYTES;
        options.progress?.({
          phase: 'scan',
          doneBytes: Math.min(doneBytes, totalBytes),
          totalBytes,
        });
      });
    }
  } finally {
    await files.close();
  }
  return damage;
}
