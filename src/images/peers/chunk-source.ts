/** Other hosts that have chunks. */
export interface ChunkSource {
  /** Whether any of them is said to have the whole image. */
  has(digest: string): boolean;
  /**
   * Bytes of consecutive chunks of a file of an image, as they are in the file; undefined when nobody gives
   * them. Not verified.
   */
  get(range: ChunkRange, signal: AbortSignal | undefined): Promise<Buffer | undefined>;
}

export interface ChunkRange {
  readonly digest: string;
  /** Number of the file's entry in the manifest. */
  readonly entry: number;
  /** Number of the first chunk in the file. */
  readonly first: number;
  readonly count: number;
  /** Bytes that they are together. */
  readonly length: number;
}

/** Chunks that are asked for at once, at most. */
export const MOST_CHUNKS = 32;

export function chunkPath({ digest, entry, first, count }: Omit<ChunkRange, 'length'>): string {
  return `/chunks/${digest}/${entry}/${first}/${count}`;
}

/** The range of a path; undefined for what is none. */
export function parseChunkPath(path: string): Omit<ChunkRange, 'length'> | undefined {
  const match = /^\/chunks\/(sha256:[0-9a-f]{64})\/(\d{1,9})\/(\d{1,9})\/(\d{1,3})$/.exec(path);
  if (match === null) return undefined;
  const [, digest = '', entry, first, count] = match;
  if (Number(count) < 1 || Number(count) > MOST_CHUNKS) return undefined;
  return { digest, entry: Number(entry), first: Number(first), count: Number(count) };
}
