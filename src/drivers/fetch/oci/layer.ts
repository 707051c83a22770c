import { createReadStream } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FetchError } from '../fetch.ts';
import { readTar, type Compression } from '../tar/read-tar.ts';
import { TreeWriter } from '../tar/tree-writer.ts';

export interface Layer {
  /** A file with the layer as it was sent. */
  readonly path: string;
  readonly mediaType: string;
  /** Of the layer unpacked. */
  readonly diffId: string;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * Puts a layer over a root file system: whiteouts remove what earlier layers have, then its entries
 * are made. Throws `FetchError`.
 */
export async function applyLayer(root: string, layer: Layer, signal: AbortSignal): Promise<void> {
  const { path, mediaType, diffId } = layer;
  const compression = compressionOf(mediaType, path);
  const writer = new TreeWriter(root);
  const whiteouts: string[] = [];
  const digest = await readTar(createReadStream(path), compression, signal, async (entry) => {
    entry.resume();
    if (basename(entry.path).startsWith(WHITEOUT)) whiteouts.push(entry.path);
  });
  if (digest !== diffId) {
    throw new FetchError('corrupt', `a layer unpacks to ${digest}, and should to ${diffId}`);
  }
  for (const each of whiteouts) {
    const [dir, name] = [dirname(each), basename(each)];
    if (name === OPAQUE) await writer.remove(dir, 'what is in it');
    else await writer.remove(join(dir, name.slice(WHITEOUT.length)), 'itself');
  }
  await readTar(createReadStream(path), compression, signal, async (entry) => {
    if (basename(entry.path).startsWith(WHITEOUT)) entry.resume();
    else await writer.write(entry);
  });
  await writer.finish();
}

function compressionOf(mediaType: string, path: string): Compression {
  if (/[.+]gzip$/.test(mediaType)) return 'gzip';
  if (mediaType.endsWith('+zstd')) return 'zstd';
  if (mediaType.endsWith('.tar')) return 'none';
  throw new FetchError('refused', `layers of the kind ${mediaType} cannot be read (${path})`);
}
