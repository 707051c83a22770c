import type { S3Client } from '@aws-sdk/client-s3';
import { BlobError, type BlobDriver, type BlobInfo, type BlobStore } from './blob.ts';

/** Tries of one request, with the SDK's own growing waits between them. */
const TRIES = 6;
/** A connection over which nothing comes for this long is given up, and the request tried again. */
const STALL_MS = 30_000;

/**
 * Objects in a bucket of S3 or what speaks like it: `s3://bucket/prefix`, with `?endpoint=URL` for
 * another endpoint (it is then addressed by path) and `?region=R`. Credentials, and the endpoint
 * and region where not given, come from where the AWS SDK looks: environment, profile, instance.
 */
export const s3Blobs: BlobDriver = {
  name: 's3',
  async open(location) {
    const bucket = location.hostname;
    const prefix = location.pathname.replace(/^\/+|\/+$/g, '');
    if (bucket === '') {
      throw new BlobError('bad_location', `${location.href}: expected s3://bucket/prefix`);
    }
    const { S3Client: Client } = await import('@aws-sdk/client-s3');
    const endpoint =
      location.searchParams.get('endpoint') ??
      process.env['AWS_ENDPOINT_URL_S3'] ??
      process.env['AWS_ENDPOINT_URL'];
    const region = location.searchParams.get('region') ?? process.env['AWS_REGION'];
    const client = new Client({
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
      // Other servers than Amazon's take any region; the SDK wants one.
      region: region ?? 'us-east-1',
      maxAttempts: TRIES,
      requestHandler: { connectionTimeout: 10_000, requestTimeout: STALL_MS },
      // Not every server that speaks S3 knows the newer checksums; chunks carry their own.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
    return new S3Blobs(client, bucket, prefix);
  },
};

class S3Blobs implements BlobStore {
  readonly location: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(client: S3Client, bucket: string, prefix: string) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.location = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { PutObjectCommand } = await import('@aws-sdk/client-s3');
    await this.#call(key, () =>
      this.#client.send(
        new PutObjectCommand({ ...this.#object(key), Body: bytes }),
        abortable(signal),
      ),
    );
  }

  get(key: string, signal?: AbortSignal): Promise<Buffer> {
    return this.#get(key, undefined, signal);
  }

  async getRange(
    key: string,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0);
    const bytes = await this.#get(key, `bytes=${offset}-${offset + length - 1}`, signal);
    if (bytes.length === length) return bytes;
    throw new BlobError('short', `${this.location}/${key} ends before ${offset + length}`);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<BlobInfo, void> {
    const { ListObjectsV2Command } = await import('@aws-sdk/client-s3');
    let token: string | undefined;
    do {
      const page = await this.#call(prefix, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
          abortable(signal),
        ),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined || LastModified === undefined) continue;
        yield {
          key: Key.slice(this.#prefix.length),
          bytes: Size ?? 0,
          modifiedMs: LastModified.getTime(),
        };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const { DeleteObjectCommand } = await import('@aws-sdk/client-s3');
    await this.#call(key, () =>
      this.#client.send(new DeleteObjectCommand(this.#object(key)), abortable(signal)),
    );
  }

  close(): void {
    this.#client.destroy();
  }

  /** A body that is cut off is asked for again: the SDK itself only repeats requests. */
  async #get(
    key: string,
    range: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const { GetObjectCommand } = await import('@aws-sdk/client-s3');
    const Range = range === undefined ? {} : { Range: range };
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#call(key, async () => {
          const command = new GetObjectCommand({ ...this.#object(key), ...Range });
          const { Body, ContentLength } = await this.#client.send(command, abortable(signal));
          const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
          if (ContentLength === undefined || bytes.length === ContentLength) return bytes;
          throw new BlobError('short', `${this.location}/${key}: the answer was cut off`);
        });
      } catch (error) {
        signal?.throwIfAborted();
        const { code } = error as BlobError;
        if (tries >= TRIES || code === 'missing' || code === 'denied') throw error;
      }
    }
  }

  #object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  async #call<T>(key: string, send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw this.#translate(key, error);
    }
  }

  #translate(key: string, error: unknown): unknown {
    const { name, message, $metadata } = error as {
      readonly name: string;
      readonly message: string;
      readonly $metadata?: { readonly httpStatusCode?: number };
    };
    if (error instanceof BlobError || name === 'AbortError') return error;
    const place = `${this.location}/${key}`;
    const options = { cause: error };
    if (name === 'NoSuchBucket') {
      return new BlobError('bad_location', `there is no bucket ${this.#bucket}`, options);
    }
    switch ($metadata?.httpStatusCode) {
      case 404:
        return new BlobError('missing', `${place} does not exist`, options);
      case 416:
        return new BlobError('short', `${place} is shorter than expected`, options);
      case 401:
      case 403:
        return new BlobError('denied', `${place}: ${message}; check the credentials`, options);
      default:
        return new BlobError('unavailable', `${place}: ${message}`, options);
    }
  }
}

function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
