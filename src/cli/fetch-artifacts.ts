import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Artifact, JobView } from '../protocol/api/resources.ts';
import type { ApiClient } from './api-client.ts';

/** Brings a job's artifacts below `output`, each whole and verified. */
export async function fetchArtifacts(
  client: ApiClient,
  job: JobView,
  output: string,
): Promise<void> {
  if (job.artifacts.length === 0) return;
  await mkdir(output, { recursive: true });
  const root = await realpath(output);
  for (const artifact of job.artifacts) await fetchOne(client, job.id, artifact, root);
}

async function fetchOne(
  client: ApiClient,
  id: string,
  artifact: Artifact,
  root: string,
): Promise<void> {
  const place = placeOf(root, artifact.path);
  await mkdir(dirname(place), { recursive: true });
  // A link that was there before must not lead the file elsewhere.
  if (!`${await realpath(dirname(place))}${sep}`.startsWith(`${root}${sep}`)) {
    throw new Error(`artifact ${artifact.path} would be written outside ${root}`);
  }
  const response = await client.send('getArtifact', {
    params: { id },
    query: { path: artifact.path },
    patient: true,
  });
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const temporary = `${place}.part`;
  try {
    await pipeline(Readable.from(response.body ?? []), hashing, createWriteStream(temporary));
    if (hash.digest('hex') !== artifact.sha256) {
      throw new Error(`artifact ${artifact.path} arrived damaged; \`pomona job show ${id}\``);
    }
    await rename(temporary, place);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Where below `root` an artifact goes. Throws when its path leads out of it. */
export function placeOf(root: string, path: string): string {
  const place = resolve(root, path);
  if (isAbsolute(path) || !place.startsWith(root + sep)) {
    throw new Error(`artifact ${path} would be written outside ${root}`);
  }
  return join(place);
}
