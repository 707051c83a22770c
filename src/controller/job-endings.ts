import type { JobResult } from '../domain/job.ts';
import { runnerOfJob } from '../db/queries/ci/runners.ts';
import { finishJob, requestCancel, requeueJob, type JobRow } from '../db/queries/jobs.ts';
import { findWorker, setWorkerGoal } from '../db/queries/workers.ts';
import type { Changes } from './context.ts';

/** Records the result that a worker delivered. The caller checked that the worker has the job. */
export async function endJob(changes: Changes, job: JobRow, result: JobResult): Promise<void> {
  if (result.outcome === 'lost') {
    await loseJob(changes, job, { ran: true, reason: result.reason ?? 'its worker failed' });
    return;
  }
  const { outcome, reason } = await meaningOf(changes, job, result);
  const finished = await finishJob(changes.tx, {
    id: job.id,
    outcome,
    exitCode: result.exitCode,
    reason,
    startedAt: startTime(job, result.startedAt, changes.now),
    finishedAt: changes.now,
    logBytes: result.logBytes,
  });
  if (finished) await changes.event('job', job.id, outcome, reason);
}

/**
 * A runner that had its job has done what it was for, also when it was ended because it would have
 * taken another. Whether that job succeeded is between it and its CI system.
 */
async function meaningOf(
  { tx }: Changes,
  job: JobRow,
  { outcome, reason }: JobResult,
): Promise<Pick<JobResult, 'outcome' | 'reason'>> {
  const same = { outcome, ...(reason === undefined ? {} : { reason }) };
  if (job.integration === null) return same;
  const runner = await runnerOfJob(tx, job.id, job.epoch);
  if (runner === undefined || runner.took_at === null) return same;
  const done = outcome === 'cancelled' && runner.state === 'leaving';
  const ran = `it ran ${runner.took ?? 'a job'}`;
  return {
    outcome: done ? 'succeeded' : outcome,
    reason: done || reason === undefined ? ran : `${ran}; ${reason}`,
  };
}

/** A waiting job ends at once; a job with a worker ends when the worker has ended it. */
export async function cancelJob(changes: Changes, job: JobRow, reason: string): Promise<void> {
  const { tx, now, event, host } = changes;
  const { id } = job;
  if (job.state === 'finished') return;
  await requestCancel(tx, id);
  if (job.state === 'queued') {
    await finishJob(tx, {
      ...{ id, outcome: 'cancelled', exitCode: undefined, reason },
      ...{ startedAt: undefined, finishedAt: now, logBytes: undefined },
    });
    await event('job', id, 'cancelled', reason);
    return;
  }
  const worker = await findWorker(tx, job.worker_id ?? '');
  if (worker?.goal !== 'run') return;
  await setWorkerGoal(tx, { id: worker.id, goal: 'cancel', reason: undefined, now });
  await event('job', id, 'cancelling', reason);
  host(worker.host_id);
}

/**
 * The job lost its worker. It goes back to the queue when nothing of it ran, or when it may be
 * retried; a cancelled one ends; any other ends as `lost`, for it may have had side effects.
 */
export async function loseJob(
  changes: Changes,
  job: JobRow,
  loss: { ran: boolean; reason: string },
): Promise<void> {
  if (job.state === 'finished') return;
  const again = job.cancel_requested === 0 && (!loss.ran || job.retries_left > 0);
  if (again) {
    await requeueJob(changes.tx, { id: job.id, reason: loss.reason, spent: loss.ran });
    await changes.event('job', job.id, 'queued', loss.reason);
    return;
  }
  const outcome = job.cancel_requested === 1 ? 'cancelled' : 'lost';
  await finishJob(changes.tx, {
    id: job.id,
    outcome,
    exitCode: undefined,
    reason: loss.reason,
    startedAt: undefined,
    finishedAt: changes.now,
    logBytes: undefined,
  });
  await changes.event('job', job.id, outcome, loss.reason);
}

/** Hosts' clocks may be off: a start lies between hand-over and now. */
export function startTime(
  job: Pick<JobRow, 'assigned_at'>,
  reported: number | undefined,
  now: number,
): number | undefined {
  if (reported === undefined) return undefined;
  return Math.round(Math.min(now, Math.max(reported, job.assigned_at ?? reported)));
}
