import { createHash } from 'node:crypto';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { FetchError } from '../fetch.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/**
 * Reads a tar stream's entries in order, each until what `onEntry` returned is settled, and returns
 * `sha256:<hex>` of the whole, unpacked. Throws `FetchError`, or what `onEntry` threw.
 */
export async function readTar(
  source: Readable,
  compression: Compression,
  signal: AbortSignal,
  onEntry: (entry: ReadEntry) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(undefined, chunk);
    },
  });
  let last = Promise.resolve();
  let failed: Error | undefined;
  const parser = new Parser({
    strict: true,
    onReadEntry(entry) {
      last = last
        .then(() => (failed === undefined ? onEntry(entry) : undefined))
        .catch((error: unknown) => {
          failed ??= error as Error;
        })
        .finally(() => entry.resume());
    },
  });
  const sink = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (failed !== undefined) return done(failed);
      if (parser.write(chunk)) return done();
      parser.once('drain', () => done());
    },
    flush(done) {
      parser.once('end', () => done());
      parser.end();
    },
  });
  const broken = new Promise<never>((_resolve, reject) => parser.once('error', reject));
  broken.catch(() => undefined);
  try {
    const flow = pipeline([source, ...unpacker(compression), hashing, sink.resume()], { signal });
    await Promise.race([flow, broken]);
    await last;
  } catch (cause) {
    if (signal.aborted || cause === failed || cause instanceof FetchError) throw cause;
    throw new FetchError('corrupt', `it cannot be read as tar: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (failed !== undefined) throw failed;
  return `sha256:${hash.digest('hex')}`;
}

function unpacker(compression: Compression): NodeJS.ReadWriteStream[] {
  if (compression === 'gzip') return [createGunzip()];
  return compression === 'zstd' ? [createZstdDecompress()] : [];
}
