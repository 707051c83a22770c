import { createWriteStream } from 'node:fs';
import { lstat, mkdir, open, readdir, readlink, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { ZipFile as ZipWriter } from 'yazl';
import { isZeros } from '../format/chunk.ts';
import type { WorkOptions } from '../progress.ts';
import { ImageError } from '../reference.ts';

const TYPE = 0o170_000;
const LINK = 0o120_000;
/** What macOS adds for its own sake. */
const NOT_CONTENT = /^__MACOSX\/|(?:^|\/)\.DS_Store$/;

/**
 * Unpacks a zip file into an empty directory: files with modes, times and holes where they are zeros, and
 * symbolic links. What is in one directory alone, as in the zip of a `.macvm`, is unpacked without that
 * directory, which is `top`; else that is empty. Throws `ImageError`.
 */
export async function unzip(
  path: string,
  dir: string,
  { signal, progress }: WorkOptions = {},
): Promise<{ readonly top: string }> {
  const zip = await opened(path);
  try {
    const entries: Entry[] = [];
    for await (const entry of zip.eachEntry()) {
      if (!NOT_CONTENT.test(entry.fileName)) entries.push(entry);
    }
    const top = commonTop(entries);
    const strip = top.length;
    const totalBytes = entries.reduce((sum, entry) => sum + entry.uncompressedSize, 0);
    let doneBytes = 0;
    const links: { path: string; target: string }[] = [];
    await mkdir(dir, { recursive: true });
    for (const entry of entries) {
      signal?.throwIfAborted();
      const name = entry.fileName.slice(strip);
      if (name === '') continue;
      const target = join(dir, name);
      const mode = entry.externalFileAttributes >>> 16;
      if (name.endsWith('/')) {
        await mkdir(target, { recursive: true });
        continue;
      }
      await mkdir(dirname(target), { recursive: true });
      if ((mode & TYPE) === LINK) {
        const content = await buffer(await zip.openReadStreamPromise(entry));
        links.push({ path: target, target: content.toString() });
        continue;
      }
      await unpackFile(zip, entry, target, mode, (count) => {
        doneBytes += count;
        progress?.({ phase: 'scan', doneBytes, totalBytes });
      });
    }
    // Last, so that nothing is written through one.
    for (const link of links) await symlink(link.target, link.path);
    return { top };
  } catch (error) {
    if (signal?.aborted === true || error instanceof ImageError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined) throw error;
    throw new ImageError(`${path} cannot be unpacked: ${message}`, { cause: error });
  } finally {
    zip.close();
  }
}

async function opened(path: string): Promise<ZipFile> {
  try {
    return await openPromise(path, { autoClose: false, lazyEntries: true });
  } catch (cause) {
    throw new ImageError(`${path} cannot be read as zip: ${(cause as Error).message}`, { cause });
  }
}

/** The one directory, with its slash, that everything is in; else empty. */
function commonTop(entries: readonly Entry[]): string {
  const tops = new Set(entries.map(({ fileName }) => fileName.split('/')[0] ?? ''));
  const [top = ''] = tops;
  const isDirectory = entries.every(({ fileName }) => fileName.startsWith(`${top}/`));
  return tops.size === 1 && isDirectory ? `${top}/` : '';
}

async function unpackFile(
  zip: ZipFile,
  entry: Entry,
  target: string,
  mode: number,
  onBytes: (count: number) => void,
): Promise<void> {
  const file = await open(target, 'wx', (mode & 0o777) === 0 ? 0o644 : mode & 0o777);
  try {
    let at = 0;
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      const bytes = chunk as Buffer;
      if (!isZeros(bytes)) await file.write(bytes, 0, bytes.length, at);
      at += bytes.length;
      onBytes(bytes.length);
    }
    await file.truncate(at);
  } finally {
    await file.close();
  }
  const time = entry.getLastModDate();
  await utimes(target, time, time);
}

/** Packs what is in a directory into a new zip file, below a directory of that name. */
export async function zipTree(dir: string, path: string, top: string): Promise<void> {
  const zip = new ZipWriter();
  const names = (await readdir(dir, { recursive: true })).toSorted();
  for (const name of names) {
    const full = join(dir, name);
    const stats = await lstat(full);
    const options = { mtime: stats.mtime, mode: stats.mode };
    if (stats.isSymbolicLink()) {
      zip.addBuffer(Buffer.from(await readlink(full)), `${top}/${name}`, {
        ...options,
        compress: false,
      });
    } else if (stats.isDirectory()) zip.addEmptyDirectory(`${top}/${name}`, options);
    else if (stats.isFile()) zip.addFile(full, `${top}/${name}`, options);
  }
  zip.end();
  try {
    await pipeline(zip.outputStream, createWriteStream(path, { flags: 'wx' }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await rm(path, { force: true });
    throw error;
  }
}
