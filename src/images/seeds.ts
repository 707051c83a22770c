import { ChunkTable } from './chunk-table.ts';
import { chunkLength, ID_BYTES, isZeroId } from './format/chunk.ts';
import type { FileEntry } from './format/manifest.ts';
import type { LocalImages } from './local-images.ts';
import { idOf, lengthOf, type FileChunk } from './chunks.ts';
import { below } from './paths.ts';
import { signatureOf } from './signatures.ts';

/** Images whose chunks are looked up; those of the same name come first. */
const IMAGES = 8;

/** A file of a local image, from which chunks can be taken. */
export interface SeedFile {
  readonly path: Buffer;
  readonly entry: FileEntry;
  /** How it looked when it was known to be right; undefined: not known. */
  readonly signature: string | undefined;
}

/** Chunks of one seed that are wanted, with where they are in it. */
export interface SeedChunks {
  readonly seed: SeedFile;
  readonly chunks: readonly { readonly from: number; readonly missing: FileChunk }[];
}

/** What local images can give to one that is being pulled. */
export class Seeds {
  readonly #files: readonly SeedFile[];
  readonly #table = new ChunkTable();

  constructor(files: readonly SeedFile[]) {
    this.#files = files;
    for (const [file, { entry }] of files.entries()) {
      for (let index = 0; index * ID_BYTES < entry.ids.length; index += 1) {
        const at = index * ID_BYTES;
        if (isZeroId(entry.ids.subarray(at, at + ID_BYTES))) continue;
        this.#table.add(entry.ids, at, [file, index, 0]);
      }
    }
  }

  static async find(images: LocalImages, name: string): Promise<Seeds> {
    const tags = await images.tags();
    const digests = new Set([
      ...tags.filter((tag) => tag.name === name).map((tag) => tag.digest),
      ...tags.map((tag) => tag.digest),
    ]);
    const files: SeedFile[] = [];
    for (const digest of [...digests].slice(0, IMAGES)) {
      if (!(await images.has(digest))) continue;
      const signatures = await images.signatures(digest);
      for (const entry of (await images.manifest(digest)).entries) {
        if (entry.type !== 'file' || entry.size === 0) continue;
        const path = below(images.dataPath(digest), entry.path);
        files.push({ path, entry, signature: signatures[entry.path.toString('hex')] });
      }
    }
    return new Seeds(files);
  }

  /** The file that has the most chunks where `wanted` has them; undefined when none has half. */
  mostLike(wanted: FileEntry): SeedFile | undefined {
    let best: { seed: SeedFile; equal: number } | undefined;
    for (const seed of this.#files) {
      if (!seed.entry.path.equals(wanted.path)) continue;
      let equal = 0;
      for (let index = 0; index * ID_BYTES < wanted.ids.length; index += 1) {
        if (hasEqualAt(seed.entry, wanted, index)) equal += 1;
      }
      if (equal > (best?.equal ?? 0)) best = { seed, equal };
    }
    const count = wanted.ids.length / ID_BYTES;
    return best !== undefined && best.equal * 2 >= count ? best.seed : undefined;
  }

  /** Where the seeds have chunks that are missing: by seed, in the order of its bytes. */
  locate(missing: readonly FileChunk[]): SeedChunks[] {
    const found = new Map<number, { from: number; missing: FileChunk }[]>();
    for (const chunk of missing) {
      const [file, from] = this.#table.get(idOf(chunk)) ?? [];
      if (file === undefined || from === undefined) continue;
      const seed = this.#files[file];
      // A last chunk that is shorter has another id, but equal ids are worth this check.
      if (seed === undefined || chunkLength(seed.entry.size, from) !== lengthOf(chunk)) continue;
      const chunks = found.get(file) ?? [];
      chunks.push({ from, missing: chunk });
      found.set(file, chunks);
    }
    return [...found].flatMap(([file, chunks]) => {
      const seed = this.#files[file];
      return seed === undefined
        ? []
        : [{ seed, chunks: chunks.toSorted((a, b) => a.from - b.from) }];
    });
  }
}

/** Whether both files have the same chunk, of the same length, at this place. */
export function hasEqualAt(seed: FileEntry, wanted: FileEntry, index: number): boolean {
  const [start, end] = [index * ID_BYTES, (index + 1) * ID_BYTES];
  return (
    end <= seed.ids.length &&
    chunkLength(seed.size, index) === chunkLength(wanted.size, index) &&
    seed.ids.compare(wanted.ids, start, end, start, end) === 0
  );
}

/** Whether the file was not touched since it was known to be right. */
export async function isAsKnown(seed: SeedFile): Promise<boolean> {
  return seed.signature !== undefined && seed.signature === (await signatureOf(seed.path));
}
