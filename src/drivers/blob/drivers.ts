import { BlobError, type BlobDriver, type BlobStore } from './blob.ts';
import { directoryBlobs } from './directory.ts';
import { s3Blobs } from './s3.ts';

/** The drivers of the family `blob`, by the scheme of their locations. */
export const BLOB_DRIVERS: Readonly<Record<string, BlobDriver>> = {
  [directoryBlobs.name]: directoryBlobs,
  [s3Blobs.name]: s3Blobs,
};

/** Opens `s3://bucket/prefix` or `file:///dir`. Throws `BlobError` `bad_location`. */
export async function openBlobs(location: string): Promise<BlobStore> {
  const url = URL.canParse(location) ? new URL(location) : undefined;
  const driver = BLOB_DRIVERS[url?.protocol.slice(0, -1) ?? ''];
  if (url === undefined || driver === undefined) {
    throw new BlobError(
      'bad_location',
      `${location} is no such place; expected s3://bucket/prefix or file:///dir`,
    );
  }
  return driver.open(url);
}
