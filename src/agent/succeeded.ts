import type { JobResult } from '../domain/job.ts';
import { readJson } from '../platform/atomic-file.ts';
import type { WorkerPaths } from './worker-dir.ts';

/** Whether a worker had a job, and it succeeded. */
export async function succeeded(paths: WorkerPaths): Promise<boolean> {
  return (await readJson<JobResult>(paths.result))?.outcome === 'succeeded';
}
