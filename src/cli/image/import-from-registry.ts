import { join } from 'node:path';
import { openRegistry } from '../../drivers/fetch/oci/registry.ts';
import type { Manifest } from '../../images/format/manifest.ts';
import { fetchTartImage } from '../../images/formats/tart-image.ts';
import { importImage } from '../../images/import.ts';
import type { LocalImages } from '../../images/local-images.ts';
import type { WorkOptions } from '../../images/progress.ts';
import type { ImageName } from '../../images/reference.ts';
import type { Threads } from '../../images/work/threads.ts';
import { removeTree } from '../../platform/tree.ts';

/** Makes an image of one that Tart pushed to a registry. Throws `ImageError`, `FetchError`. */
export async function importFromRegistry(
  images: LocalImages,
  threads: Threads,
  name: ImageName,
  ref: string,
  options: WorkOptions & { readonly signal: AbortSignal },
): Promise<{ digest: string; manifest: Manifest }> {
  // Layers stay here when it is interrupted.
  const { source, reference } = openRegistry(ref, join(images.dir, 'registry'));
  const dir = await images.newDir();
  try {
    const bundle = join(dir, 'bundle');
    await fetchTartImage(source, reference, bundle, threads, options);
    return await importImage(images, threads, name, bundle, options);
  } finally {
    await removeTree(dir);
  }
}
