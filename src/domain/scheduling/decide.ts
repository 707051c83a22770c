import type { HostState } from '../host.ts';
import { NEEDS_EMPTY, TASK_WORDS } from '../host-task.ts';
import type { Pool } from '../pool.ts';
import { judgeRollout, type Verdict } from '../rollout.ts';
import type { WorkerSpec } from '../worker.ts';
import { specKey } from './fit.ts';
import { Fleet } from './fleet.ts';
import type { Backoff, FleetView, WorkerStatus } from './fleet-view.ts';
import { Pass } from './pass.ts';

export type FleetAction =
  /** Hand the job to the ready worker. */
  | { readonly type: 'assign'; readonly jobId: string; readonly workerId: string }
  /** Make a worker. */
  | { readonly type: 'create'; readonly hostId: string; readonly spec: WorkerSpec }
  /** Remove a worker that has no job. */
  | { readonly type: 'destroy'; readonly workerId: string; readonly reason: string }
  /** Give up a worker whose host is gone; its job, if any, is lost. */
  | { readonly type: 'lose'; readonly workerId: string; readonly reason: string }
  /** The host is out of touch: that is told once for each of its sessions. */
  | {
      readonly type: 'host-lost';
      readonly hostId: string;
      readonly session: number;
      readonly reason: string;
    }
  /** The host has another state; `gone`: it is forgotten. */
  | {
      readonly type: 'host';
      readonly hostId: string;
      readonly from: HostState;
      readonly to: HostState | 'gone';
      readonly reason: string;
    }
  /** The host is empty and does what it is to do; or it did not in time. */
  | {
      readonly type: 'task';
      readonly hostId: string;
      readonly taskId: string;
      readonly to: 'given' | 'failed';
    }
  /** Move the roll-out on that is in this stage. */
  | {
      readonly type: 'rollout';
      readonly pool: string;
      readonly stage: number;
      readonly verdict: Exclude<Verdict, { kind: 'wait' }>;
    };

/** How long a ready worker that nobody needs is kept, so that a burst does not churn workers. */
export const SURPLUS_IDLE_MS = 10_000;

const KEEPS_IDLE: ReadonlySet<HostState> = new Set<HostState>(['active', 'cordoned']);

/** What a decision looks at beside the fleet. */
export interface Circumstances {
  readonly now: number;
  /** Pools that failed to make workers on a host lately, by `backoffKey`. */
  readonly backoffs: ReadonlyMap<string, Backoff>;
  /** How long a host may be out of touch before its workers are given up. */
  readonly hostLostAfterMs: number;
}

/** Decides for a fleet as it is read at once. Pure. */
export function decideFleet(view: FleetView): FleetAction[] {
  return decide(Fleet.of(view), view);
}

/**
 * Decides what to do next for the whole fleet. Nothing but the fleet's notes of what was looked at
 * changes: until an action's rows are taken in, it is decided again. Jobs get ready workers in turns;
 * what is still missing is made, first for waiting jobs, then for the pools' `ready` numbers; idle
 * workers of other pools give way to waiting jobs; workers nobody wants any more are destroyed.
 *
 * It costs what changed and what is done about it, and a little for each pool and each kind of job
 * that waits; not what exists.
 */
export function decide(fleet: Fleet, circumstances: Circumstances): FleetAction[] {
  const actions: FleetAction[] = [];
  giveUpLostHosts(fleet, circumstances, actions);
  moveHostsOn(fleet, circumstances, actions);
  retireRented(fleet, circumstances, actions);
  judgeRollouts(fleet, actions);
  const pass = new Pass(fleet, circumstances, actions);
  try {
    retireUnwanted(fleet, pass);
    retireOld(fleet, circumstances.now, pass);
    pass.assignReady();
    pass.makeForWaiting();
    pass.keepReady();
    retireSurplus(fleet, circumstances.now, pass);
  } finally {
    pass.undo();
  }
  return actions;
}

function giveUpLostHosts(
  fleet: Fleet,
  { hostLostAfterMs }: Circumstances,
  actions: FleetAction[],
): void {
  for (const host of fleet.hosts.offline) {
    const { id: hostId, name, silentForMs, session, lostTold } = host.status;
    if (silentForMs < hostLostAfterMs) {
      if (host.lost) fleet.regainHost(host);
      continue;
    }
    if (!host.lost) fleet.loseHost(host);
    const seconds = Math.round(silentForMs / 1000);
    const reason = `host ${name} has been out of touch for ${seconds} s`;
    // One that never had a session is only not there yet.
    if (lostTold === false && session !== undefined && session > 0) {
      actions.push({ type: 'host-lost', hostId, session, reason });
    }
    for (const worker of host.workers.values()) {
      if (worker.state === 'failed') continue;
      actions.push({ type: 'lose', workerId: worker.id, reason });
    }
  }
}

/**
 * Hosts that are to be empty by now, that are empty, those whose quarantine is over, and those that have
 * something to do to themselves.
 */
function moveHostsOn(fleet: Fleet, { now }: Circumstances, actions: FleetAction[]): void {
  for (const { status, workers } of fleet.hosts.inactive) {
    const { id: hostId, name, state, quarantinedUntil = Infinity, task } = status;
    const drainBy = Math.min(status.drainBy ?? Infinity, task?.drainBy ?? Infinity);
    if (task?.given === false && status.online && workers.size === 0) {
      actions.push({ type: 'task', hostId, taskId: task.id, to: 'given' });
    }
    if (task?.given === true && (task.endBy ?? Infinity) <= now) {
      actions.push({ type: 'task', hostId, taskId: task.id, to: 'failed' });
    }
    if (state === 'retiring' && workers.size === 0) {
      actions.push({ type: 'host', hostId, from: state, to: 'gone', reason: 'it is retired' });
    }
    if (state === 'quarantined' && quarantinedUntil <= now && task === undefined) {
      const reason = 'its quarantine is over';
      actions.push({ type: 'host', hostId, from: state, to: 'active', reason });
    }
    if (drainBy > now) continue;
    for (const worker of workers.values()) {
      if (worker.goal === 'destroyed' || worker.state === 'failed') continue;
      const reason = `host ${name} was to be empty by ${new Date(drainBy).toISOString()}`;
      actions.push({ type: 'lose', workerId: worker.id, reason });
    }
  }
}

/** Rented hosts whose time is over. */
function retireRented(fleet: Fleet, { now }: Circumstances, actions: FleetAction[]): void {
  for (const { status } of fleet.hosts.rented) {
    const { id: hostId, state, facts } = status;
    if (state === 'retiring' || (facts?.endsAt ?? Infinity) > now) continue;
    const reason = 'it is rented, and its time is over';
    actions.push({ type: 'host', hostId, from: state, to: 'retiring', reason });
  }
}

function judgeRollouts(fleet: Fleet, actions: FleetAction[]): void {
  for (const { pool, canary, rollout } of fleet.pools) {
    if (rollout?.state !== 'running' || canary === undefined) continue;
    const verdict = judgeRollout(rollout);
    if (verdict.kind === 'wait') continue;
    actions.push({ type: 'rollout', pool: pool.name, stage: rollout.stage, verdict });
  }
}

/** Workers that failed, or whose pool or spec changed, or whose host drains. */
function retireUnwanted(fleet: Fleet, pass: Pass): void {
  for (const id of fleet.suspects) {
    const worker = fleet.workers.get(id);
    const host = worker === undefined ? undefined : fleet.hosts.get(worker.hostId);
    const reason = worker?.goal === 'ready' ? whyUnwanted(fleet, worker) : undefined;
    // One that is to go stays a suspect until its row says that it goes.
    if (worker === undefined || reason === undefined) fleet.suspects.delete(id);
    else if (host?.lost !== true) pass.destroy(worker, reason);
  }
}

function whyUnwanted(fleet: Fleet, worker: WorkerStatus): string | undefined {
  if (worker.state === 'failed') return 'it failed';
  const host = fleet.hosts.get(worker.hostId);
  if (host !== undefined && !KEEPS_IDLE.has(host.status.state)) {
    return `host ${host.status.name} is ${host.status.state}`;
  }
  const task = host?.status.task;
  if (task !== undefined && NEEDS_EMPTY.has(task.kind)) {
    return `host ${host?.status.name} is to ${TASK_WORDS[task.kind]}`;
  }
  const state = fleet.pool(worker.pool);
  if (state === undefined) return `pool ${worker.pool} was removed`;
  if (host?.status.facts === undefined || host.likes === undefined) return undefined;
  for (const pool of [state.pool, state.canary]) {
    const wanted = pool === undefined ? undefined : host.likes.suits(pool);
    if (wanted?.fits === true && specKey(wanted.spec) === worker.specKey) return undefined;
  }
  return `pool ${worker.pool} changed`;
}

/** Idle workers beyond their age; of those beyond the soft one, one at a time. */
function retireOld(fleet: Fleet, now: number, pass: Pass): void {
  for (const { pool, idle, preparing } of fleet.pools) {
    const { softAgeMs, hardAgeMs } = pool;
    if (softAgeMs === undefined && hardAgeMs === undefined) continue;
    const ageOf = (worker: WorkerStatus) => now - (worker.createdAt ?? now);
    for (const worker of [...idle]) {
      if (ageOf(worker) < (hardAgeMs ?? Infinity)) continue;
      pass.destroy(worker, 'it reached its hard age');
    }
    const oldest = idle.at(0);
    if (oldest === undefined || preparing.size > 0 || idle.size < pool.ready) continue;
    if (ageOf(oldest) >= (softAgeMs ?? Infinity)) pass.destroy(oldest, 'it reached its soft age');
  }
}

function retireSurplus(fleet: Fleet, now: number, pass: Pass): void {
  for (const { pool, idle, away } of fleet.pools) {
    let surplus = idle.size + away - pool.ready;
    if (surplus <= 0) continue;
    for (const worker of [...idle]) {
      if (surplus <= 0) break;
      const idleMs = now - (worker.readyAt ?? now);
      // Ready in the future: the clock went back, and how long it idled is not known.
      if (idleMs >= 0 && idleMs < keptIdle(pool)) continue;
      pass.destroy(worker, 'nothing needs it');
      surplus -= 1;
    }
  }
}

function keptIdle(pool: Pool): number {
  return pool.idleMs ?? SURPLUS_IDLE_MS;
}
