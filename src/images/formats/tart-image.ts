import { copyFile, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { limiter } from '../../platform/limiter.ts';
import type { WorkOptions } from '../progress.ts';
import { ImageError } from '../reference.ts';
import type { Threads } from '../work/threads.ts';

/** Facts: manifests that Tart pushes (versions of 2024 to 2026). */
const KINDS = {
  config: 'application/vnd.cirruslabs.tart.config.v1',
  disk: 'application/vnd.cirruslabs.tart.disk.v2',
  firstDisk: 'application/vnd.cirruslabs.tart.disk.v1',
  nvram: 'application/vnd.cirruslabs.tart.nvram.v1',
} as const;
const SIZE = 'org.cirruslabs.tart.uncompressed-size';
const DIGEST = 'org.cirruslabs.tart.uncompressed-content-digest';
/** Layers fetched at once. */
const FETCHES = 4;

const layerSchema = z.object({
  mediaType: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).default({}),
});
type Layer = z.output<typeof layerSchema>;
const manifestSchema = z.object({ layers: z.array(layerSchema) });

/** Where the parts of an OCI image are had. */
export interface OciSource {
  manifest(reference: string, signal: AbortSignal): Promise<Uint8Array>;
  /** The path of a file with a blob, whose size and digest are right; one that was begun goes on. */
  blob(
    layer: { readonly mediaType: string; readonly digest: string; readonly size: number },
    options: { readonly signal: AbortSignal; onBytes(count: number): void },
  ): Promise<string>;
}

/**
 * Makes a machine's bundle, as Tart has it, of an image that Tart pushed to a registry: `config.json`,
 * `disk.img` and `nvram.bin` in an empty directory. Every layer and every slice of the disk is verified.
 * Throws `ImageError`.
 */
export async function fetchTartImage(
  source: OciSource,
  reference: string,
  dir: string,
  threads: Threads,
  options: WorkOptions & { readonly signal: AbortSignal },
): Promise<void> {
  const { signal, progress } = options;
  const { config, disk, nvram } = partsOf(await source.manifest(reference, signal), reference);
  const totalBytes = [config, nvram, ...disk].reduce((sum, { size }) => sum + size, 0);
  let doneBytes = 0;
  const paths: string[] = [];
  const fetch = async (layer: Layer): Promise<string> => {
    const path = await source.blob(layer, {
      signal,
      onBytes(count) {
        doneBytes += count;
        progress?.({ phase: 'download', doneBytes, totalBytes });
      },
    });
    paths.push(path);
    return path;
  };
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await copyFile(await fetch(config), join(dir, 'config.json'));
  await copyFile(await fetch(nvram), join(dir, 'nvram.bin'));
  const file = await open(join(dir, 'disk.img'), 'w', 0o600);
  try {
    const slices = placed(disk, reference);
    await file.truncate(slices.reduce((sum, { size }) => sum + size, 0));
    const atOnce = limiter(FETCHES);
    const unpacked = slices.map(({ layer, offset, size }) =>
      atOnce(async () => {
        signal.throwIfAborted();
        const path = await fetch(layer);
        const digest = layer.annotations[DIGEST];
        const wrong = await threads.run('unpackSlice', {
          ...{ path, fd: file.fd, offset, size },
          ...(digest === undefined ? {} : { digest }),
        });
        if (wrong === undefined) return;
        throw new ImageError(`layer ${layer.digest} of ${reference} is damaged: ${wrong}`);
      }),
    );
    const results = await Promise.allSettled(unpacked);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  } finally {
    await file.close();
  }
  // What was fetched is kept until all of it is, so that an interrupted import goes on.
  for (const path of paths) await rm(path, { force: true });
}

function partsOf(bytes: Uint8Array, reference: string) {
  const manifest = manifestSchema.safeParse(parsed(bytes));
  const layers = manifest.success ? manifest.data.layers : [];
  const of = (kind: string) => layers.filter(({ mediaType }) => mediaType === kind);
  const [[config], disk, [nvram]] = [of(KINDS.config), of(KINDS.disk), of(KINDS.nvram)];
  if (of(KINDS.firstDisk).length > 0) {
    throw new ImageError(
      `${reference} is of Tart's first disk format; push it again with a Tart of 2024 or later`,
    );
  }
  if (config !== undefined && nvram !== undefined && disk.length > 0)
    return { config, disk, nvram };
  const kinds = [...new Set(layers.map(({ mediaType }) => mediaType))].join(', ');
  throw new ImageError(`${reference} is no image of Tart; it has layers of ${kinds || 'nothing'}`);
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Each layer with its place in the disk: they follow one another. */
function placed(layers: readonly Layer[], reference: string) {
  let offset = 0;
  return layers.map((layer) => {
    const size = Number(layer.annotations[SIZE]);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ImageError(`layer ${layer.digest} of ${reference} does not say its size`);
    }
    offset += size;
    return { layer, offset: offset - size, size };
  });
}
