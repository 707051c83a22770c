import type { Stats } from 'node:fs';
import type { ContentHashes } from './copy/manifest.ts';
import type { BuildIndex } from './state/build-index.ts';

/** Of a file changed so lately that a second change could have the same times, nothing is kept. */
const LATELY_MS = 2_000;

/** Hashes of files below one directory, as the index knows them, read at once and saved at once. */
export class StoredHashes implements ContentHashes {
  readonly #index: BuildIndex;
  readonly #root: string;
  readonly #known: ReadonlyMap<string, { readonly stat: string; readonly sha256: string }>;
  readonly #learned: { path: Buffer; stat: string; sha256: string }[] = [];

  constructor(index: BuildIndex, root: string) {
    this.#index = index;
    this.#root = root;
    this.#known = index.contentsOf(root);
  }

  known(path: Buffer, stats: Stats): string | undefined {
    const entry = this.#known.get(path.toString('latin1'));
    return entry?.stat === statText(stats) ? entry.sha256 : undefined;
  }

  learn(path: Buffer, stats: Stats, sha256: string): void {
    if (Date.now() - Math.max(stats.mtimeMs, stats.ctimeMs) < LATELY_MS) return;
    this.#learned.push({ path, stat: statText(stats), sha256 });
  }

  save(): void {
    if (this.#learned.length > 0) this.#index.saveContents(this.#root, this.#learned);
    this.#learned.length = 0;
  }
}

/** What changes whenever the content may have changed. */
function statText({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`;
}
