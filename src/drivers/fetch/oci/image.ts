import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { FetchError, type FetchedBase, type FetchOptions } from '../fetch.ts';
import {
  environmentOf,
  readConfig,
  readManifest,
  type Descriptor,
  type ImageManifest,
} from './format.ts';
import { applyLayer } from './layer.ts';

/** Where an image's parts are had: a registry, or a layout on the disk. */
export interface ImageSource {
  /** The manifest or index of a tag or digest. */
  manifest(reference: string, signal: AbortSignal): Promise<Uint8Array>;
  /** The path of a file with a blob, whose size and digest are right. */
  blob(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; onBytes(count: number): void },
  ): Promise<string>;
}

/** More indexes in one another than this is no image. */
const DEEPEST = 5;

/** The digest of the manifest that a reference means on this machine. */
export async function resolveImage(
  source: ImageSource,
  reference: string,
  signal: AbortSignal,
): Promise<string> {
  return (await findManifest(source, reference, signal)).digest;
}

async function findManifest(
  source: ImageSource,
  reference: string,
  signal: AbortSignal,
): Promise<{ digest: string; manifest: ImageManifest }> {
  let wanted = reference;
  for (let depth = 0; depth < DEEPEST; depth += 1) {
    const bytes = await source.manifest(wanted, signal);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (wanted.startsWith('sha256:') && wanted !== digest) {
      throw new FetchError('corrupt', `what came as ${wanted} has the digest ${digest}`);
    }
    const read = readManifest(bytes, wanted);
    if ('manifest' in read) return { digest, manifest: read.manifest };
    wanted = read.next.digest;
  }
  throw new FetchError('refused', `${reference} is indexes in one another without an end`);
}

/** Makes the root file system of an image in an empty directory. */
export async function fetchImage(
  source: ImageSource,
  digest: string,
  dir: string,
  { signal, onProgress }: FetchOptions,
): Promise<FetchedBase> {
  const { manifest } = await findManifest(source, digest, signal);
  const totalBytes = manifest.layers.reduce((sum, { size }) => sum + size, manifest.config.size);
  let doneBytes = 0;
  const onBytes = (count: number) => {
    doneBytes += count;
    onProgress({ doneBytes, totalBytes });
  };
  const config = readConfig(
    await readFile(await source.blob(manifest.config, { signal, onBytes })),
    `the configuration of ${digest}`,
  );
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw new FetchError('corrupt', `${digest}: its configuration does not list its layers`);
  }
  // The next layers come while one is applied; each is checked before it is.
  const blobs = manifest.layers.map((layer) => source.blob(layer, { signal, onBytes }));
  for (const blob of blobs) blob.catch(() => undefined);
  for (const [index, layer] of manifest.layers.entries()) {
    const path = (await blobs[index]) ?? '';
    const diffId = config.rootfs.diff_ids[index] ?? '';
    await applyLayer(dir, { path, mediaType: layer.mediaType, diffId }, signal);
  }
  return { layout: 'root', env: environmentOf(config) };
}
