import { openConsoles } from '../../db/queries/consoles.ts';
import type { DesiredConsole } from '../../domain/console.ts';
import type { HostFacts } from '../../domain/host.ts';
import type { HostTask } from '../../domain/host-task.ts';
import { ownedPrefix } from '../../domain/ids.ts';
import type { JobOrder } from '../../domain/job.ts';
import { wantedImages } from '../../domain/scheduling/fit.ts';
import type { DesiredWorker } from '../../domain/worker.ts';
import { findHost, taskOf } from '../../db/queries/hosts.ts';
import { findJob, payloadOf } from '../../db/queries/jobs.ts';
import { runnerOfJob } from '../../db/queries/ci/runners.ts';
import { liveWorkersOfHost, specOf, type WorkerRow } from '../../db/queries/workers.ts';
import type { Context } from '../context.ts';
import { runnerSecrets } from '../ci/runner-secrets.ts';
import { poolsNow } from '../pools-now.ts';
import type { Secrets } from '../secrets.ts';

/** The whole list of workers wanted on a host, as its agent is told. */
export async function desiredWorkers(
  context: Context,
  secrets: Secrets,
  hostId: string,
): Promise<DesiredWorker[]> {
  const desired: DesiredWorker[] = [];
  for (const row of await liveWorkersOfHost(context.db, hostId)) {
    const order = await orderFor(context, secrets, row);
    desired.push({
      id: row.id,
      name: workerName(context.fleet, row.id),
      epoch: row.epoch,
      goal: row.goal,
      spec: specOf(row),
      ...(order === undefined ? {} : { order }),
    });
  }
  return desired;
}

/** Names of the images that a host should have, as its agent is told. */
export async function desiredImages({ db }: Context, hostId: string): Promise<string[]> {
  const host = await findHost(db, hostId);
  if (host === undefined || host.facts === null) return [];
  // The old image stays where it can be gone back to.
  const pools = (await poolsNow(db)).flatMap(({ spec, now, canary }) => {
    return [spec, now, ...(canary === undefined ? [] : [canary])];
  });
  return wantedImages(pools, JSON.parse(host.facts) as HostFacts);
}

/** What a host is to do to itself now, as its agent is told. */
export async function desiredTask({ db }: Context, hostId: string): Promise<HostTask | undefined> {
  const host = await findHost(db, hostId);
  const task = host === undefined ? undefined : taskOf(host);
  if (task?.given !== true) return undefined;
  const { id, kind, value } = task;
  return { id, kind, ...(value === undefined ? {} : { value }) };
}

/** Ways into workers that people wait for on a host, as its agent is told. */
export async function desiredConsoles(
  { db, fleet }: Context,
  hostId: string,
): Promise<DesiredConsole[]> {
  return (await openConsoles(db, hostId)).map(({ id, kind, worker_id: workerId, cols, lines }) => ({
    ...{ id, kind, worker: workerName(fleet, workerId), cols, lines },
  }));
}

/** The owned name of all that exists of a worker outside the database. */
export function workerName(fleet: string, workerId: string): string {
  return ownedPrefix(fleet) + workerId;
}

/** The job to hand over: only until the worker was seen running it. */
async function orderFor(
  context: Context,
  secrets: Secrets,
  row: WorkerRow,
): Promise<JobOrder | undefined> {
  if (row.goal !== 'run' || row.state !== 'ready' || row.job_id === null) return undefined;
  const job = await findJob(context.db, row.job_id);
  if (job === undefined || job.state !== 'assigned' || job.worker_id !== row.id) return undefined;
  const payload = payloadOf(job);
  if (job.integration !== null) {
    // Until its credential is there its worker has nothing to execute.
    const runner = await runnerOfJob(context.db, job.id, job.epoch);
    if (runner?.state !== 'prepared' || runner.sealed === null) return undefined;
    const secretValues = runnerSecrets(secrets, runner.name, runner.sealed);
    return { jobId: job.id, epoch: job.epoch, payload, secretValues };
  }
  return {
    jobId: job.id,
    epoch: job.epoch,
    payload,
    secretValues: await secrets.valuesOf(payload.secrets),
  };
}
