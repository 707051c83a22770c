/**
 * A blob store keeps whole objects under keys, such as S3 does. Keys are `[a-z0-9._/-]+` without
 * `.` or `..` as a part. An object appears whole or not at all, and what was written is seen by
 * every later call, `list` included. All calls may be repeated. Transient failures (slow answers,
 * 503, cut connections) are retried inside, within bounds.
 */
export interface BlobStore {
  /** For people: where this is. Holds no credential. */
  readonly location: string;
  /** Writes or replaces an object. */
  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Throws `BlobError` `missing`. */
  get(key: string, signal?: AbortSignal): Promise<Buffer>;
  /** Exactly `length` bytes from `offset`. Throws `BlobError` `missing`, or `short`. */
  getRange(key: string, offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
  /** Objects whose keys begin with `prefix`, in no order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<BlobInfo>;
  /** Deleting what does not exist is not an error. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  close(): void;
}

export interface BlobInfo {
  readonly key: string;
  readonly bytes: number;
  /** By the clock of the store. */
  readonly modifiedMs: number;
}

/** One entry of the family's map: opens what a location such as `s3://bucket/prefix` names. */
export interface BlobDriver {
  /** Scheme of its locations. */
  readonly name: string;
  /** Throws `BlobError` `bad_location`. Moves no data. */
  open(location: URL): Promise<BlobStore>;
}

export class BlobError extends Error {
  readonly code: 'missing' | 'short' | 'denied' | 'no_space' | 'bad_location' | 'unavailable';
  constructor(code: BlobError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BlobError';
    this.code = code;
  }
}
