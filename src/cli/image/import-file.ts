import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../images/format/manifest.ts';
import { convertDisk, formatOf } from '../../images/formats/disk-format.ts';
import { unzip } from '../../images/formats/zip.ts';
import { importImage } from '../../images/import.ts';
import type { LocalImages } from '../../images/local-images.ts';
import type { WorkOptions } from '../../images/progress.ts';
import type { ImageName } from '../../images/reference.ts';
import type { Threads } from '../../images/work/threads.ts';
import { removeTree } from '../../platform/tree.ts';

/**
 * Makes an image of a path: of a zip what is in it, of a qcow2 disk its content, so that versions share
 * chunks and every hypervisor can use it; of anything else what it is. Throws `ImageError`.
 */
export async function importPath(
  images: LocalImages,
  threads: Threads,
  name: ImageName,
  path: string,
  options: WorkOptions,
): Promise<{ digest: string; manifest: Manifest }> {
  const isFile = (await stat(path).catch(() => undefined))?.isFile() === true;
  const format = isFile ? await formatOf(path) : 'other';
  if (format === 'other') return importImage(images, threads, name, path, options);
  const dir = await images.newDir();
  const content = join(dir, 'content');
  try {
    let from = content;
    if (format === 'zip') {
      const { top } = await unzip(path, content, options);
      const [only, ...others] = await readdir(content, { withFileTypes: true });
      // The zip of one disk.
      if (top === '' && only?.isFile() === true && others.length === 0)
        from = join(content, only.name);
    } else {
      const raw = { path: content, format: 'raw' } as const;
      await convertDisk({ path, format: 'qcow2' }, raw, options);
    }
    return await importImage(images, threads, name, from, options);
  } finally {
    await removeTree(dir);
  }
}
