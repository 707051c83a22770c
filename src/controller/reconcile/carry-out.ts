import type { FleetAction } from '../../domain/scheduling/decide.ts';
import { SLOT_MS } from '../../domain/scheduling/forecast.ts';
import { specKey } from '../../domain/scheduling/fit.ts';
import { noteDemand } from '../../db/queries/demand.ts';
import { forgetOutcomes } from '../../db/queries/host-outcomes.ts';
import { findHost, listHosts, noteLost, setHostState, wearHost } from '../../db/queries/hosts.ts';
import { findRollout, moveRollout, tally } from '../../db/queries/rollouts.ts';
import { assignJob, findJob } from '../../db/queries/jobs.ts';
import {
  findWorker,
  giveJob,
  insertWorker,
  retireIdleWorker,
  setWorkerGoal,
  setWorkerState,
} from '../../db/queries/workers.ts';
import { change, type Changes, type Context } from '../context.ts';
import { endTask, giveTask } from '../host-tasks.ts';
import { loseJob } from '../job-endings.ts';
import { removeHost } from '../remove-host.ts';

/**
 * Carries out one decision in one transaction. The decision was made on a reading that may be
 * stale: each step looks at fresh rows and does nothing when its condition no longer holds.
 */
export async function carryOut(context: Context, actions: readonly FleetAction[]): Promise<void> {
  await change(context, async (changes) => {
    for (const action of actions) await carryOutOne(changes, action);
  });
}

async function carryOutOne(changes: Changes, action: FleetAction): Promise<void> {
  switch (action.type) {
    case 'assign':
      return assign(changes, action.jobId, action.workerId);
    case 'create':
      return create(changes, action);
    case 'destroy':
      return destroy(changes, action.workerId, action.reason);
    case 'lose':
      return lose(changes, action.workerId, action.reason);
    case 'host-lost':
      return tellLost(changes, action);
    case 'host':
      return moveHost(changes, action);
    case 'task':
      return moveTask(changes, action);
    case 'rollout':
      return moveOn(changes, action);
  }
}

async function assign({ tx, now, event, host }: Changes, jobId: string, workerId: string) {
  const job = await findJob(tx, jobId);
  const worker = await findWorker(tx, workerId);
  if (job?.state !== 'queued' || worker?.state !== 'ready') return;
  if (worker.goal !== 'ready' || worker.job_id !== null) return;
  const owner = await findHost(tx, worker.host_id);
  if (owner?.state !== 'active') return;
  await giveJob(tx, { id: workerId, jobId, now });
  await assignJob(tx, {
    ...{ id: jobId, workerId, hostName: owner.name, pool: worker.pool, now },
    warm: (worker.ready_at ?? now) <= job.submitted_at,
  });
  // Only once: a job that is given again was no more demand.
  if (job.epoch === 0) await noteDemand(tx, worker.pool, Math.floor(job.submitted_at / SLOT_MS));
  await event('job', jobId, 'assigned');
  host(worker.host_id);
}

async function create(
  { tx, now, newId, event, host }: Changes,
  action: Extract<FleetAction, { type: 'create' }>,
) {
  const owner = await findHost(tx, action.hostId);
  if (owner?.state !== 'active') return;
  const id = newId('w');
  await insertWorker(tx, {
    id,
    epoch: 1,
    hostId: action.hostId,
    spec: action.spec,
    specKey: specKey(action.spec),
    now,
  });
  await wearHost(tx, action.hostId);
  await tally(tx, { pool: action.spec.pool, image: action.spec.image.name }, { made: 1 });
  await event('worker', id, 'requested');
  host(action.hostId);
}

async function tellLost(
  { tx, now, event }: Changes,
  { hostId: id, session, reason }: Extract<FleetAction, { type: 'host-lost' }>,
) {
  const row = await findHost(tx, id);
  if (row !== undefined && (await noteLost(tx, { id, session, now }))) {
    await event('host', row.name, 'lost', reason);
  }
}

async function moveHost(
  changes: Changes,
  { hostId, from, to, reason }: Extract<FleetAction, { type: 'host' }>,
) {
  const { tx, event } = changes;
  const row = await findHost(tx, hostId);
  if (row?.state !== from) return;
  if (to === 'gone') return removeHost(changes, row, reason);
  // What failed before its quarantine says nothing of how it is now.
  if (from === 'quarantined') await forgetOutcomes(tx, hostId);
  await setHostState(tx, hostId, { state: to });
  await event('host', row.name, to, reason);
}

async function moveTask(
  changes: Changes,
  { hostId, taskId, to }: Extract<FleetAction, { type: 'task' }>,
) {
  if (to === 'given') return giveTask(changes, hostId, taskId);
  const detail = 'it did not say in time how it went';
  return endTask(changes, hostId, { id: taskId, state: 'failed', detail });
}

async function moveOn(
  { tx, now, event, host }: Changes,
  { pool, stage, verdict }: Extract<FleetAction, { type: 'rollout' }>,
) {
  const row = await findRollout(tx, pool);
  if (row?.state !== 'running' || row.stage !== stage) return;
  const state = verdict.kind === 'next' ? 'running' : verdict.kind;
  const reason = verdict.kind === 'back' ? verdict.reason : undefined;
  const next = verdict.kind === 'next' ? stage + 1 : stage;
  await moveRollout(tx, row, { state, stage: next, reason, now });
  await event('pool', pool, `rollout-${verdict.kind}`, reason);
  for (const { id } of await listHosts(tx)) host(id);
}

async function destroy({ tx, now, host }: Changes, workerId: string, reason: string) {
  const worker = await findWorker(tx, workerId);
  if (worker === undefined) return;
  if (await retireIdleWorker(tx, { id: workerId, reason, now })) host(worker.host_id);
}

async function lose(changes: Changes, workerId: string, reason: string) {
  const worker = await findWorker(changes.tx, workerId);
  if (worker === undefined || worker.state === 'failed' || worker.state === 'destroyed') return;
  await setWorkerState(changes.tx, { id: workerId, state: 'failed', reason, now: changes.now });
  await setWorkerGoal(changes.tx, { id: workerId, goal: 'destroyed', reason, now: changes.now });
  await changes.event('worker', workerId, 'failed', reason);
  changes.host(worker.host_id);
  if (worker.job_id === null) return;
  const job = await findJob(changes.tx, worker.job_id);
  if (job?.worker_id !== workerId) return;
  await loseJob(changes, job, { ran: true, reason });
}
