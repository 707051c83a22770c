import { ciJobOfJob } from '../../db/queries/ci/runners.ts';
import { eventsOf, type EventRow } from '../../db/queries/events.ts';
import { factsOf, findHost } from '../../db/queries/hosts.ts';
import { findJob } from '../../db/queries/jobs.ts';
import { findWorker, specOf, type WorkerRow } from '../../db/queries/workers.ts';
import type { Timeline } from '../../protocol/api/history-resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { consolesOf } from '../consoles/ways-in.ts';
import type { Context } from '../context.ts';

/** What happened to a job and to its worker. Throws ProblemError `not_found`. */
export async function jobTimeline({ db }: Context, jobId: string): Promise<Timeline> {
  const job = await findJob(db, jobId);
  if (job === undefined) {
    throw new ProblemError('not_found', `there is no job ${jobId}; \`pomona job list\` shows them`);
  }
  const { worker_id: workerId } = job;
  const events = await eventsOf(db, workerId === null ? [jobId] : [jobId, workerId]);
  const worker = workerId === null ? undefined : await findWorker(db, workerId);
  const ci = job.integration === null ? undefined : await ciJobOfJob(db, jobId);
  const isThere = worker !== undefined && worker.state !== 'destroyed';
  return {
    events: whileItsWorker(events)
      .filter(({ kind }) => kind === 'job' || kind === 'worker')
      .map(({ at, kind, subject, state, reason }) => ({
        ...{ at: Number(at), of: kind === 'job' ? ('job' as const) : ('worker' as const) },
        ...{ id: subject, state },
        ...(reason === null ? {} : { reason }),
      })),
    ...(isThere ? { worker: await workerOf(db, worker) } : {}),
    ...(job.keep_ms === null ? {} : { keepMs: Number(job.keep_ms) }),
    ...(job.integration === null
      ? {}
      : {
          ci: {
            integration: job.integration,
            ...(ci === undefined || ci.title === '' ? {} : { title: ci.title }),
            ...(ci === undefined || ci.url === null ? {} : { url: ci.url }),
          },
        }),
  };
}

/** Without what the worker did for other jobs, before or after: each begins with a request. */
function whileItsWorker(events: readonly EventRow[]): EventRow[] {
  const given = events.findLastIndex(({ kind, state }) => kind === 'job' && state === 'assigned');
  const isRequest = ({ kind, state }: EventRow) => kind === 'worker' && state === 'requested';
  const from = events.slice(0, given + 1).findLastIndex(isRequest);
  const next = events.findIndex((event, index) => index > given && isRequest(event));
  const to = next === -1 ? events.length : next;
  return events.filter(({ kind }, index) => kind !== 'worker' || (index >= from && index < to));
}

async function workerOf(
  db: Context['db'],
  row: WorkerRow,
): Promise<NonNullable<Timeline['worker']>> {
  const host = await findHost(db, row.host_id);
  const facts = host === undefined ? undefined : factsOf(host);
  return {
    ...{ id: row.id, state: row.state },
    ...(row.kept_until === null ? {} : { keptUntil: Number(row.kept_until) }),
    consoles: consolesOf(row, specOf(row), facts),
  };
}
