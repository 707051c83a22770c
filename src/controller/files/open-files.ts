import { join } from 'node:path';
import type { Database } from '../../db/database.ts';
import type { BlobStore } from '../../drivers/blob/blob.ts';
import { BlobLogStore } from '../logs/blob-log-store.ts';
import { LogStore } from '../logs/log-store.ts';
import { ArtifactStore } from './artifact-store.ts';
import { BlobArtifactStore } from './blob-artifact-store.ts';
import { BlobSourceStore } from './blob-source-store.ts';
import type { ArtifactFiles, LogFiles, SourceFiles } from './file-stores.ts';
import { SourceStore } from './source-store.ts';

interface Files {
  readonly logs: LogFiles;
  readonly sources: SourceFiles;
  readonly artifacts: ArtifactFiles;
  close(): void;
}

/** Whether a place of files is a blob store and no directory. */
export function isBlobLocation(place: string): boolean {
  return /^[a-z0-9]+:\/\//.test(place);
}

/**
 * Where files of jobs are kept: in a directory, or in a blob store, whose credentials come from where the
 * AWS SDK looks. Throws `BlobError` when the place is none, or does not take and give an object.
 */
export async function openFiles(
  db: Database,
  dir: string,
  {
    files = dir,
    openBlobs,
    limits,
  }: {
    readonly files?: string;
    readonly openBlobs?: (location: string) => Promise<BlobStore>;
    readonly limits: { readonly sourceBytes: number; readonly artifactBytes: number };
  },
): Promise<Files> {
  if (!isBlobLocation(files) || openBlobs === undefined) {
    return {
      logs: new LogStore(join(files, 'logs'), { shared: db.shared }),
      sources: new SourceStore(join(files, 'sources'), limits.sourceBytes),
      artifacts: new ArtifactStore(join(files, 'artifacts'), limits.artifactBytes),
      close: () => undefined,
    };
  }
  const blobs = await openBlobs(files);
  // Better now than when the first job ends.
  try {
    await blobs.put('pomona', Buffer.from('logs, artifacts and sources of jobs\n'));
    await blobs.get('pomona');
  } catch (cause) {
    blobs.close();
    const why = (cause as Error).message;
    throw new Error(`nothing can be kept in ${blobs.location} (\`files:\`): ${why}`, { cause });
  }
  const incoming = join(dir, 'incoming');
  return {
    logs: new BlobLogStore(db, blobs),
    sources: new BlobSourceStore(blobs, join(incoming, 'sources'), limits.sourceBytes),
    artifacts: new BlobArtifactStore(blobs, join(incoming, 'artifacts'), limits.artifactBytes),
    close: () => blobs.close(),
  };
}
