import { findHost, taskOf, type HostRow } from '../db/queries/hosts.ts';
import { findJob, setKeep } from '../db/queries/jobs.ts';
import {
  findWorker,
  keepWorker,
  keptWorkers,
  setWorkerGoal,
  type WorkerRow,
} from '../db/queries/workers.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Changes, type Context } from './context.ts';

export const LOOK_MS = 5_000;

/**
 * Has a job's worker stay for `ms` once the job has ended, for people to look at; 0: not, or not any
 * longer. Throws ProblemError `not_found`, and `conflict` when the worker is gone already.
 */
export async function keepJobsWorker(context: Context, jobId: string, ms: number): Promise<void> {
  await change(context, async (changes) => {
    const { tx, now, event } = changes;
    const job = await findJob(tx, jobId);
    if (job === undefined) throw new ProblemError('not_found', `there is no job ${jobId}`);
    await setKeep(tx, jobId, ms === 0 ? null : ms);
    await event('job', jobId, ms === 0 ? 'kept-no-more' : 'kept');
    if (job.state !== 'finished') return;
    const worker = await findWorker(tx, job.worker_id ?? '');
    if (worker === undefined || worker.goal === 'destroyed' || worker.kept_until === null) {
      throw new ProblemError(
        'conflict',
        `job ${jobId} has ended and its worker is gone; run it again and keep that worker while it runs`,
      );
    }
    if (ms === 0) return letGo(changes, worker);
    await keepWorker(tx, worker.id, now + ms);
    await event('worker', worker.id, 'kept');
  });
}

/** Lets go of kept workers whose time is over, and of those whose host has to be empty by now. */
export async function letKeptWorkersGo(context: Context): Promise<void> {
  const kept = await keptWorkers(context.db);
  const now = context.clock.now();
  for (const { id, host_id: hostId } of kept) {
    const host = await findHost(context.db, hostId);
    await change(context, async (changes) => {
      const row = await findWorker(changes.tx, id);
      if (row === undefined || row.kept_until === null) return;
      if (row.kept_until <= now || mustBeEmpty(host, now)) await letGo(changes, row);
    });
  }
}

/** People agreed to wait for what is kept, until the host's time for it is over. */
function mustBeEmpty(host: HostRow | undefined, now: number): boolean {
  if (host === undefined || host.state === 'quarantined') return true;
  const by = [host.drain_by, taskOf(host)?.drainBy];
  return by.some((time) => typeof time === 'number' && time <= now);
}

async function letGo({ tx, now, event, host }: Changes, row: WorkerRow): Promise<void> {
  await keepWorker(tx, row.id, null);
  await setWorkerGoal(tx, {
    id: row.id,
    goal: 'destroyed',
    reason: 'it was kept long enough',
    now,
  });
  await event('worker', row.id, 'released');
  host(row.host_id);
}
