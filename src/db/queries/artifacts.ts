import type { Queryable } from '../database.ts';

export interface ArtifactRow {
  readonly job_id: string;
  readonly epoch: number;
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** Records an artifact; recorded again, it replaces the earlier one. */
export async function saveArtifact(db: Queryable, artifact: ArtifactRow): Promise<void> {
  await db.run(
    `INSERT INTO artifacts (job_id, epoch, path, size, sha256) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (job_id, epoch, path) DO UPDATE SET size = $4, sha256 = $5`,
    [artifact.job_id, artifact.epoch, artifact.path, artifact.size, artifact.sha256],
  );
}

export function listArtifacts(db: Queryable, jobId: string, epoch: number): Promise<ArtifactRow[]> {
  return db.all('SELECT * FROM artifacts WHERE job_id = $1 AND epoch = $2 ORDER BY path', [
    jobId,
    epoch,
  ]);
}

export async function deleteArtifacts(db: Queryable, jobId: string): Promise<void> {
  await db.run('DELETE FROM artifacts WHERE job_id = $1', [jobId]);
}
