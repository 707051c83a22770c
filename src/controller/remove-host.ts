import { deleteHost, type HostRow } from '../db/queries/hosts.ts';
import { forgetOutcomes } from '../db/queries/host-outcomes.ts';
import { findJob } from '../db/queries/jobs.ts';
import { liveWorkersOfHost, setWorkerState } from '../db/queries/workers.ts';
import { forgetRolloutHost } from '../db/queries/host-rollouts.ts';
import { saveLeaks } from '../db/queries/leaks.ts';
import { hostSource } from './leaks.ts';
import type { Changes } from './context.ts';
import { loseJob } from './job-endings.ts';

/** Forgets a host: its credential ends, its workers count as destroyed, its jobs are lost. */
export async function removeHost(changes: Changes, row: HostRow, reason: string): Promise<void> {
  const { tx, now, event } = changes;
  for (const worker of await liveWorkersOfHost(tx, row.id)) {
    await setWorkerState(tx, { id: worker.id, state: 'destroyed', reason, now });
    await event('worker', worker.id, 'destroyed', reason);
    const job = worker.job_id === null ? undefined : await findJob(tx, worker.job_id);
    if (job?.worker_id === worker.id) await loseJob(changes, job, { ran: true, reason });
  }
  await forgetOutcomes(tx, row.id);
  await saveLeaks(tx, hostSource(row.id), []);
  await forgetRolloutHost(tx, row.id);
  await deleteHost(tx, row.id);
  await event('host', row.name, 'removed', reason);
}
