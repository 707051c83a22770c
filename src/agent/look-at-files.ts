import type { JobResult } from '../domain/job.ts';
import { readJson } from '../platform/atomic-file.ts';
import type { Look } from './runtime.ts';
import type { OrderRecord, StartedRecord, WorkerPaths } from './worker-dir.ts';

/** What the worker's files say; `alive`: does the process that stands by it live? */
export async function lookAtFiles(
  paths: WorkerPaths,
  isReady: () => Promise<boolean>,
  alive: () => Promise<boolean>,
): Promise<Look> {
  if ((await readJson(paths.worker)) === undefined) return { state: 'absent' };
  const order = await readJson<OrderRecord>(paths.order);
  if (order === undefined) {
    if (!(await isReady())) return { state: 'unfinished' };
    if (await alive()) return { state: 'ready' };
    return { state: 'broken', reason: 'its keeper died while it waited for a job' };
  }
  const started = await readJson<StartedRecord>(paths.started);
  const job = {
    jobId: order.jobId,
    jobEpoch: order.epoch,
    ...(started === undefined ? {} : { startedAt: started.startedAt }),
  };
  const delivered = await readJson<JobResult>(paths.delivered);
  if (delivered !== undefined) return { state: 'delivered', ...job, result: delivered };
  const result = await readJson<JobResult>(paths.result);
  if (result !== undefined) return { state: 'ended', ...job, result };
  if (await alive()) return { state: 'running', ...job };
  // It may have written its result between the two looks.
  const late = await readJson<JobResult>(paths.result);
  if (late !== undefined) return { state: 'ended', ...job, result: late };
  return { state: 'broken', ...job, reason: 'its keeper died while the job ran' };
}
