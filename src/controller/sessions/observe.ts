import {
  WORKER_STATES,
  mayHaveRun,
  servesAgain,
  type ObservedWorker,
  type WorkerState,
} from '../../domain/worker.ts';
import type { JobOutcome } from '../../domain/job.ts';
import { tally } from '../../db/queries/rollouts.ts';
import { findHost } from '../../db/queries/hosts.ts';
import { findJob, startJob } from '../../db/queries/jobs.ts';
import {
  findWorker,
  keepWorker,
  liveWorkersOfHost,
  renewWorker,
  setWorkerGoal,
  setWorkerState,
  specOf,
  type WorkerRow,
} from '../../db/queries/workers.ts';
import { change, type Changes, type Context } from '../context.ts';
import { endJob, loseJob, startTime } from '../job-endings.ts';
import { heed } from '../quarantine.ts';
import { failedToStart, madeReady } from '../reconcile/backoffs.ts';

/**
 * Takes in what an agent observed. A report about a worker that is not this host's, or of another
 * epoch, changes nothing; nor does one of a session that another took over from. States only move
 * forward. `complete`: a worker that was seen before and is not listed now is gone.
 */
export async function observe(
  context: Context,
  hostId: string,
  report: { readonly complete: boolean; readonly workers: readonly ObservedWorker[] },
  session?: number,
): Promise<void> {
  if (!report.complete && report.workers.length === 0) return;
  await change(context, async (changes) => {
    if (session !== undefined && (await findHost(changes.tx, hostId))?.session_no !== session)
      return;
    for (const seen of report.workers) {
      const row = await findWorker(changes.tx, seen.id);
      if (row === undefined || row.host_id !== hostId || row.epoch !== seen.epoch) continue;
      await observeWorker(changes, row, seen);
    }
    if (!report.complete) return;
    const listed = new Set(report.workers.map((worker) => worker.id));
    for (const row of await liveWorkersOfHost(changes.tx, hostId)) {
      if (listed.has(row.id) || row.state === 'requested') continue;
      const reason = 'it vanished from its host';
      await observeWorker(changes, row, {
        id: row.id,
        epoch: row.epoch,
        state: 'destroyed',
        reason,
        ...(row.goal === 'run' && row.job_id !== null ? { jobId: row.job_id } : {}),
      });
    }
  });
}

async function observeWorker(
  changes: Changes,
  row: WorkerRow,
  seen: ObservedWorker,
): Promise<void> {
  const next = forward(row.state, seen.state);
  const renewed = row.job_id !== null && (await observeJob(changes, row, seen)) === 'renewed';
  if (next === undefined || renewed) return;
  await setWorkerState(changes.tx, {
    id: row.id,
    state: next,
    reason: seen.reason,
    now: changes.now,
  });
  await changes.event('worker', row.id, next, seen.reason);
  const image = specOf(row).image.name;
  const place = { pool: row.pool, image, hostId: row.host_id };
  if (next === 'ready') await madeReady(changes.tx, place);
  if (next === 'failed' && isPreparing(row.state)) {
    await failedToStart(changes.tx, place, seen.reason ?? 'no reason given', changes.now);
    if (row.goal !== 'destroyed') await heed(changes, row, { failed: true });
  }
  if (next === 'failed' && row.goal !== 'destroyed') {
    await tally(changes.tx, { pool: row.pool, image }, { failed: 1 });
  }
  if (next === 'failed' || next === 'destroyed') changes.host(row.host_id);
  if (next === 'failed' && row.goal !== 'destroyed') {
    await setWorkerGoal(changes.tx, {
      ...row,
      goal: 'destroyed',
      reason: undefined,
      now: changes.now,
    });
  }
}

/** What the report means for the job that the worker was given; `renewed`: the worker waits for another. */
async function observeJob(
  changes: Changes,
  row: WorkerRow,
  seen: ObservedWorker,
): Promise<'renewed' | void> {
  const job = await findJob(changes.tx, row.job_id ?? '');
  if (job === undefined || job.state === 'finished' || job.worker_id !== row.id) return;
  if (seen.result !== undefined) {
    await endJob(changes, job, seen.result);
    await tallyJob(changes, row, seen.result.outcome);
    changes.host(row.host_id);
    const again = job.keep_ms === null;
    if (again && row.goal === 'run' && servesAgain(specOf(row), row.epoch, seen.result.outcome)) {
      await renewWorker(changes.tx, { id: row.id, epoch: row.epoch + 1, now: changes.now });
      await changes.event('worker', row.id, 'requested', 'for another job');
      return 'renewed';
    }
    // Also after a cancel: a job that hangs is what people want to look into.
    if (row.goal !== 'destroyed' && job.keep_ms !== null) {
      await keepWorker(changes.tx, row.id, changes.now + Number(job.keep_ms));
      await changes.event('worker', row.id, 'kept');
      return;
    }
    await setWorkerGoal(changes.tx, {
      ...row,
      goal: 'destroyed',
      reason: undefined,
      now: changes.now,
    });
  } else if (seen.state === 'running' || seen.state === 'finishing') {
    const startedAt = startTime(job, seen.startedAt, changes.now);
    if (startedAt === undefined) return;
    const started = await startJob(changes.tx, { id: job.id, workerId: row.id, startedAt });
    if (started) await changes.event('job', job.id, 'running');
  } else if (seen.state === 'failed' || seen.state === 'destroyed') {
    await loseJob(changes, job, {
      ran: seen.jobId === job.id || mayHaveRun(row.state),
      reason: seen.reason ?? 'its worker failed',
    });
  }
}

/** What ended by itself counts for a roll-out, and for its host. */
async function tallyJob(changes: Changes, row: WorkerRow, outcome: JobOutcome): Promise<void> {
  if (outcome === 'cancelled' || outcome === 'lost') return;
  const { tx } = changes;
  const image = specOf(row).image.name;
  const jobsFailed = outcome === 'succeeded' ? 0 : 1;
  await tally(tx, { pool: row.pool, image }, { jobs: 1, jobsFailed });
  await heed(changes, row, { failed: jobsFailed === 1 });
}

/** The state to record, if the report moves the worker forward. */
function forward(from: WorkerState, to: WorkerState): WorkerState | undefined {
  return WORKER_STATES.indexOf(to) > WORKER_STATES.indexOf(from) ? to : undefined;
}

function isPreparing(state: WorkerState): boolean {
  return WORKER_STATES.indexOf(state) < WORKER_STATES.indexOf('ready');
}
