import type { DriverReport } from '../../domain/host.ts';

/**
 * A store keeps snapshots (immutable directory trees) and gives writable clones of them.
 *
 * Ids and clone names match `[a-z0-9][a-z0-9._-]*` and are the caller's. A snapshot appears whole
 * or not at all: what a crash leaves half-made is never listed and is removed by `recover`. All
 * calls may be repeated after a crash with the same arguments. Several processes may work on one
 * store. The caller promises not to run two calls for the same clone name at once, and not to delete
 * a snapshot while it is being cloned or read.
 */
export interface Store {
  readonly name: string;
  readonly capabilities: StoreCapabilities;

  /**
   * Makes the store usable: creates its folders and removes what processes that are gone left
   * half-made. Idempotent; call it once before anything else.
   */
  recover(): Promise<void>;

  /**
   * Makes the snapshot `id` from what `fill` writes into an empty directory. When `id` exists
   * already nothing happens and `fill` is not called. When `fill` throws, nothing is left.
   */
  createSnapshot(id: string, fill: (dir: string) => Promise<void>): Promise<void>;

  /**
   * Makes the clone of that name the snapshot `id`: a crash leaves either the clone or the whole
   * snapshot. When `id` exists already, the clone is removed. Throws `StoreError` `clone_missing`
   * when there is neither.
   */
  commit(cloneName: string, id: string): Promise<void>;

  /**
   * Calls `read` with a directory that shows the snapshot and that nobody may write to. It is there
   * until what `read` returned is settled. Throws `StoreError` `snapshot_missing`.
   */
  withSnapshot<T>(id: string, read: (dir: string) => Promise<T>): Promise<T>;

  hasSnapshot(id: string): Promise<boolean>;
  listSnapshots(): Promise<string[]>;
  /**
   * Deleting what does not exist is not an error. Clones of it stay usable; with the capability
   * `childrenFirst`, `StoreError` `in_use` is thrown as long as there are any, or snapshots of such.
   */
  deleteSnapshot(id: string): Promise<void>;

  /**
   * Makes a writable copy of snapshot `id` and returns its absolute directory. Owners, modes,
   * links and times (to the millisecond) are kept; holes where files share blocks. Pipes, sockets and
   * devices are left out. An existing clone of that name is
   * replaced. Throws `StoreError` `snapshot_missing` or `no_space`.
   */
  clone(id: string, cloneName: string, signal?: AbortSignal): Promise<string>;

  /** Makes an empty writable directory that is listed and committed as clones are. */
  createClone(cloneName: string): Promise<string>;
  /**
   * Makes the empty directory `part` at the top of a clone, such as `home`, and returns its path.
   * Where file systems are cheap it is one of its own, which can be mounted elsewhere; it is cloned
   * and committed with the clone that it is in.
   */
  makePart(cloneName: string, part: string): Promise<string>;

  /** Names of all clones, complete or not. */
  listClones(): Promise<string[]>;
  /** Removes the clone whatever is in it (read-only directories included). Idempotent. */
  deleteClone(cloneName: string): Promise<void>;

  /** Of the file system or pool that the store is on. */
  diskSpace(): Promise<{ readonly totalBytes: number; readonly freeBytes: number }>;
  /** At most so many bytes are freed by deleting this snapshot; some may be shared with others. */
  snapshotBytes(id: string): Promise<number>;
}

export interface StoreCapabilities {
  /** `copy`: every byte; `reflink`: every file's entry; `snapshot`: constant time. */
  readonly cloning: 'copy' | 'reflink' | 'snapshot';
  /** A snapshot cannot be deleted while clones of it exist, or snapshots made from such. */
  readonly childrenFirst: boolean;
  /** Snapshots are read where they are; otherwise `withSnapshot` makes a temporary clone. */
  readonly liveSnapshots: boolean;
}

/** One entry of the family's map. `root` is the place that the store has for itself. */
export interface StoreDriver {
  readonly name: string;
  /** What `root` looks like, for people: `/directory`. */
  readonly form: string;
  /**
   * The directory of that place, for what is kept with the store and is not in it. Throws
   * `StoreError` `bad_place` for what is not of the form.
   */
  dirOf(root: string): string;
  /** Higher is better. */
  readonly rank: number;
  /** Tries for real whether a store can live in `root` (creating it where needed). */
  probe(root: string): Promise<DriverReport>;
  open(root: string): Store;
}

/** Thrown by stores for what a caller can do something about. */
export class StoreError extends Error {
  readonly code:
    | 'snapshot_missing'
    | 'clone_missing'
    | 'in_use'
    | 'no_space'
    | 'unsupported'
    | 'bad_place'
    | 'io';
  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}
