import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { isZeros } from '../format/chunk.ts';
import { Lz4Error, readAppleLz4 } from './apple-lz4.ts';

export interface SliceTask {
  /** The layer, as it was in the registry. */
  readonly path: string;
  /** The disk, which has zeros there. */
  readonly fd: number;
  readonly offset: number;
  /** Bytes of the slice. */
  readonly size: number;
  /** `sha256:<hex>` of the slice, where the image says. */
  readonly digest?: string;
}

/** Writes one slice of a disk from its layer, leaving zeros out. Returns what is wrong with it, if anything. */
export function unpackSlice({ path, fd, offset, size, digest }: SliceTask): string | undefined {
  const layer = openSync(path, 'r');
  const hash = createHash('sha256');
  let done = 0;
  try {
    for (const block of readAppleLz4(layer)) {
      if (done + block.length > size) return 'it is longer than it says';
      hash.update(block);
      if (!isZeros(block)) {
        for (let at = 0; at < block.length;) {
          at += writeSync(fd, block, at, block.length - at, offset + done + at);
        }
      }
      done += block.length;
    }
  } catch (error) {
    if (error instanceof Lz4Error) return error.message;
    throw error;
  } finally {
    closeSync(layer);
  }
  if (done !== size) return `it has ${done} bytes in place of ${size}`;
  const got = `sha256:${hash.digest('hex')}`;
  return digest === undefined || digest === got ? undefined : `its content has the digest ${got}`;
}
