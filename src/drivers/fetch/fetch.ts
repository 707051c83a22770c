import type { DriverReport } from '../../domain/host.ts';

/** Gets the files of a base. One driver for each kind of place that bases come from. */
export interface Fetcher {
  readonly name: string;
  /** What `ref` names right now, without moving much. Throws `FetchError`. */
  resolve(ref: string, signal: AbortSignal): Promise<ResolvedRef>;
  /**
   * Fills the empty directory `dir` with what `pinned` means, verified, and returns what the base
   * says of itself. Throws `FetchError`.
   */
  fetch(pinned: string, dir: string, options: FetchOptions): Promise<FetchedBase>;
}

export interface ResolvedRef {
  /** `sha256:<hex>` of the content. */
  readonly digest: string;
  /** A ref that means this content for ever, for `fetch`. */
  readonly pinned: string;
}

export interface FetchOptions {
  readonly signal: AbortSignal;
  onProgress(progress: {
    readonly doneBytes: number;
    readonly totalBytes: number | undefined;
  }): void;
}

export interface FetchedBase {
  /** `root`: a root file system; `home`: the directories `home` and `prefix`. */
  readonly layout: 'root' | 'home';
  readonly env: Readonly<Record<string, string>>;
  /** Where the prefix has to be, with `home`, when what is in it says so. */
  readonly prefixPath?: string;
}

/** One entry of the family's list. */
export interface FetchDriver {
  readonly name: string;
  /** Refs that it reads, for people. */
  readonly form: string;
  /** It reads files of this machine that the ref names. */
  readonly readsHost: boolean;
  /** Does it read such a ref? */
  accepts(ref: string): boolean;
  probe(): Promise<DriverReport>;
  open(options: { /** For what it keeps between calls. */ readonly cacheDir: string }): Fetcher;
}

/** Thrown by fetchers for what a caller can do something about. */
export class FetchError extends Error {
  /**
   * - `missing`: there is nothing of that name
   * - `corrupt`: what came is not what its digest says
   * - `refused`: it was found and may not be had, or has what cannot be taken
   * - `unreachable`: where it should be does not answer
   */
  readonly code: 'missing' | 'corrupt' | 'refused' | 'unreachable';
  constructor(code: FetchError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FetchError';
    this.code = code;
  }
}
