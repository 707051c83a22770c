import type { JobResult } from '../domain/job.ts';
import { finishJob, requeueJob, type JobRow } from '../db/queries/jobs.ts';
import type { Changes } from './context.ts';

/** Records the result that a worker delivered. The caller checked that the worker has the job. */
export async function endJob(changes: Changes, job: JobRow, result: JobResult): Promise<void> {
  if (result.outcome === 'lost') {
    await loseJob(changes, job, { ran: true, reason: result.reason ?? 'its worker failed' });
    return;
  }
  const finished = await finishJob(changes.tx, {
    id: job.id,
    outcome: result.outcome,
    exitCode: result.exitCode,
    reason: result.reason,
    startedAt: startTime(job, result.startedAt, changes.now),
    finishedAt: changes.now,
    logBytes: result.logBytes,
  });
  if (finished) await changes.event('job', job.id, result.outcome, result.reason);
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
