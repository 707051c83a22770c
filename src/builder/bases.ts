import type { Machine } from './spec/spec.ts';

/** What a base says of itself. */
export interface BaseConfig {
  /**
   * `root`: a whole root file system; `home`: a home directory and a tools prefix; `machine`: the files
   * of a virtual machine.
   */
  readonly layout: 'root' | 'home' | 'machine';
  readonly env: Readonly<Record<string, string>>;
  /** Where the prefix is wanted inside; only with `home`. */
  readonly prefixPath?: string;
}

/** What a name after `from` means now. */
export interface ResolvedBase {
  /** `sha256:<hex>` of its content. */
  readonly digest: string;
  /**
   * Fills the empty directory `dir`: with `rootfs`, with `home` and `prefix`, or with `machine`.
   * Verifies what it brings.
   */
  fetch(dir: string, options: BaseOptions): Promise<BaseConfig>;
}

export interface BaseOptions {
  readonly signal: AbortSignal;
  onNote(text: string): void | Promise<void>;
  /** Makes the empty directory `part` in `dir`, which may be a file system of its own. */
  makePart(part: string): Promise<string>;
  /** Makes `machine` by installing a system from a restore image. */
  install(ipsw: string): Promise<void>;
}

/** Where bases come from. */
export interface Bases {
  /** Throws `BuildError` `bad_base` for a name that means nothing. */
  resolve(from: string, machine: Machine, signal: AbortSignal): Promise<ResolvedBase>;
}
