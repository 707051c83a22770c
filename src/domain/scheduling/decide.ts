import { cachedSteps } from '../build.ts';
import type { Pool } from '../pool.ts';
import type { WorkerSpec, WorkerState } from '../worker.ts';
import { canaryOf, isCanaryTurn, judgeRollout, type Verdict } from '../rollout.ts';
import {
  backoffKey,
  type FleetView,
  type HostStatus,
  type QueuedJob,
  type WorkerStatus,
} from './fleet-view.ts';
import {
  hostHasRoom,
  hostSuits,
  hostTakesJob,
  needsMacosSlot,
  poolFits,
  specFor,
  specKey,
  usageByHost,
  type Usage,
} from './fit.ts';

export type FleetAction =
  /** Hand the job to the ready worker. */
  | { readonly type: 'assign'; readonly jobId: string; readonly workerId: string }
  /** Make a worker. */
  | { readonly type: 'create'; readonly hostId: string; readonly spec: WorkerSpec }
  /** Remove a worker that has no job. */
  | { readonly type: 'destroy'; readonly workerId: string; readonly reason: string }
  /** Give up a worker whose host is gone; its job, if any, is lost. */
  | { readonly type: 'lose'; readonly workerId: string; readonly reason: string }
  /** Move the roll-out on that is in this stage. */
  | {
      readonly type: 'rollout';
      readonly pool: string;
      readonly stage: number;
      readonly verdict: Exclude<Verdict, { kind: 'wait' }>;
    };

/** How long a ready worker that nobody needs is kept, so that a burst does not churn workers. */
export const SURPLUS_IDLE_MS = 10_000;

const PREPARING: ReadonlySet<WorkerState> = new Set([
  'requested',
  'fetching',
  'cloning',
  'booting',
]);

/**
 * Decides what to do next for the whole fleet. Pure. Jobs get ready workers in queue order; what
 * is still missing is made, first for waiting jobs, then for the pools' `ready` numbers; idle
 * workers of other pools give way to waiting jobs; workers nobody wants any more are destroyed.
 */
export function decideFleet(view: FleetView): FleetAction[] {
  const actions: FleetAction[] = [];
  const gone = giveUpLostHosts(view, actions);
  const state = new Planning(view, gone, actions);
  state.judgeRollouts();
  state.retireUnwanted();
  const unplaced = state.assignReady();
  state.makeWorkersFor(unplaced);
  state.keepReady();
  state.retireSurplus();
  return actions;
}

function giveUpLostHosts(view: FleetView, actions: FleetAction[]): Set<string> {
  const gone = new Set<string>();
  const lost = new Map(
    view.hosts
      .filter((host) => !host.online && host.silentForMs >= view.hostLostAfterMs)
      .map((host) => [host.id, host]),
  );
  for (const worker of view.workers) {
    const host = lost.get(worker.hostId);
    if (host === undefined) continue;
    gone.add(worker.id);
    if (worker.state === 'failed') continue;
    const seconds = Math.round(host.silentForMs / 1000);
    actions.push({
      type: 'lose',
      workerId: worker.id,
      reason: `host ${host.name} has been out of touch for ${seconds} s`,
    });
  }
  return gone;
}

/** The running account of one pass: what is idle, what is coming, what each host has left. */
class Planning {
  readonly #view: FleetView;
  readonly #actions: FleetAction[];
  readonly #pools: ReadonlyMap<string, Pool>;
  readonly #hosts: ReadonlyMap<string, HostStatus>;
  readonly #usage: Map<string, Usage>;
  /** Ready workers without a job, by pool, those that waited longest first. */
  readonly #idle = new Map<string, WorkerStatus[]>();
  /** Workers on their way to ready, by pool. */
  readonly #preparing = new Map<string, number>();
  readonly #live = new Map<string, number>();
  /** Ready or coming workers that this pass wants kept for waiting jobs, by pool. */
  readonly #spokenFor = new Map<string, number>();
  /** Builders on their way that waiting jobs will have. */
  readonly #claimed = new Set<string>();
  readonly #suits = new Map<string, ReturnType<typeof hostSuits>>();
  /** Hosts that a waiting job would use if they had room: no refills there. */
  readonly #contended = new Set<string>();

  /** Workers made from the old and the new image of each roll-out, with those of this pass. */
  readonly #made = new Map<string, { old: number; new: number }>();

  constructor(view: FleetView, gone: ReadonlySet<string>, actions: FleetAction[]) {
    this.#view = view;
    this.#actions = actions;
    this.#pools = new Map(view.pools.map((pool) => [pool.name, pool]));
    this.#hosts = new Map(view.hosts.map((host) => [host.id, host]));
    this.#usage = usageByHost(view);
    for (const worker of view.workers) {
      if (gone.has(worker.id)) continue;
      add(this.#live, worker.pool, 1);
      if (worker.goal !== 'ready') continue;
      if (PREPARING.has(worker.state)) add(this.#preparing, worker.pool, 1);
      if (worker.state === 'ready') list(this.#idle, worker.pool).push(worker);
    }
    for (const idle of this.#idle.values()) {
      idle.sort((a, b) => (a.readyAt ?? 0) - (b.readyAt ?? 0) || (a.id < b.id ? -1 : 1));
    }
  }

  judgeRollouts(): void {
    for (const pool of this.#view.pools) {
      const rollout = this.#view.rollouts.get(pool.name);
      if (rollout?.state !== 'running' || canaryOf(pool, rollout) === undefined) continue;
      const verdict = judgeRollout(rollout);
      if (verdict.kind === 'wait') continue;
      const { stage } = rollout;
      this.#actions.push({ type: 'rollout', pool: pool.name, stage, verdict });
    }
  }

  /** Workers that failed, or whose pool or spec changed, or whose host drains. */
  retireUnwanted(): void {
    for (const worker of this.#view.workers) {
      if (worker.goal !== 'ready') continue;
      const reason = this.#whyUnwanted(worker);
      if (reason !== undefined) this.#destroy(worker, reason);
    }
  }

  #whyUnwanted(worker: WorkerStatus): string | undefined {
    if (worker.state === 'failed') return 'it failed';
    const host = this.#hosts.get(worker.hostId);
    if (host?.state === 'draining') return `host ${host.name} is draining`;
    const pool = this.#pools.get(worker.pool);
    if (pool === undefined) return `pool ${worker.pool} was removed`;
    if (host?.facts === undefined) return undefined;
    const canary = canaryOf(pool, this.#view.rollouts.get(pool.name));
    for (const either of canary === undefined ? [pool] : [pool, canary]) {
      const wanted = specFor(either, host.facts);
      if (wanted.fits && specKey(wanted.spec) === worker.specKey) return undefined;
    }
    return `pool ${pool.name} changed`;
  }

  /** Gives ready workers to waiting jobs; returns the jobs that got none. */
  assignReady(): QueuedJob[] {
    const unplaced: QueuedJob[] = [];
    for (const job of this.#view.queued) {
      const worker = this.#takeIdle(job);
      if (worker === undefined) unplaced.push(job);
      else this.#actions.push({ type: 'assign', jobId: job.id, workerId: worker.id });
    }
    return unplaced;
  }

  #takeIdle(job: QueuedJob): WorkerStatus | undefined {
    for (const pool of this.#poolsOf(job)) {
      const idle = this.#idle.get(pool.name) ?? [];
      const able = idle.filter(({ hostId }) => {
        const host = this.#hosts.get(hostId);
        return host?.online === true && hostTakesJob(host, job).fits;
      });
      const best = this.#mostCached(job, able);
      if (best !== undefined) return idle.splice(idle.indexOf(best), 1)[0];
    }
    return undefined;
  }

  /** The worker whose host has most of the job's steps already; the first of those that are alike. */
  #mostCached(job: QueuedJob, workers: readonly WorkerStatus[]): WorkerStatus | undefined {
    const { build } = job;
    if (build === undefined) return workers[0];
    const steps = ({ hostId }: WorkerStatus) =>
      cachedSteps(build, this.#hosts.get(hostId)?.facts?.builds);
    return workers.toSorted((a, b) => steps(b) - steps(a))[0];
  }

  makeWorkersFor(jobs: readonly QueuedJob[]): void {
    for (const job of jobs) {
      const pools = this.#poolsOf(job);
      if (pools.some((pool) => this.#claimComing(pool, job))) continue;
      const made = pools.some((pool) => this.#create(pool, { job }));
      if (made) continue;
      for (const pool of pools) {
        if (this.#makeRoom(pool)) break;
      }
    }
  }

  /** Counts one preparing worker of the pool for a waiting job, if one is left. */
  #claimComing(pool: Pool, job: QueuedJob): boolean {
    if (pool.kind === 'build') return this.#claimComingBuilder(pool, job);
    const spoken = this.#spokenFor.get(pool.name) ?? 0;
    if (spoken >= (this.#preparing.get(pool.name) ?? 0)) return false;
    add(this.#spokenFor, pool.name, 1);
    return true;
  }

  /** Hosts differ in what builds they take, so each of these workers is looked at. */
  #claimComingBuilder(pool: Pool, job: QueuedJob): boolean {
    const coming = this.#view.workers.filter((worker) => {
      const host = this.#hosts.get(worker.hostId);
      const free = worker.goal === 'ready' && PREPARING.has(worker.state);
      if (worker.pool !== pool.name || !free || this.#claimed.has(worker.id)) return false;
      return host !== undefined && hostTakesJob(host, job).fits;
    });
    const best = this.#mostCached(job, coming);
    if (best !== undefined) this.#claimed.add(best.id);
    return best !== undefined;
  }

  keepReady(): void {
    for (const pool of this.#view.pools) {
      const coming = (this.#preparing.get(pool.name) ?? 0) - (this.#spokenFor.get(pool.name) ?? 0);
      let have = coming + (this.#idle.get(pool.name)?.length ?? 0);
      while (have < pool.ready && this.#create(pool, { refill: true })) have += 1;
    }
  }

  retireSurplus(): void {
    for (const pool of this.#view.pools) {
      const idle = this.#idle.get(pool.name) ?? [];
      let surplus = idle.length - pool.ready;
      for (const worker of idle) {
        if (surplus <= 0) break;
        const idleMs = this.#view.now - (worker.readyAt ?? this.#view.now);
        // Ready in the future: the clock went back, and how long it idled is not known.
        if (idleMs >= 0 && idleMs < SURPLUS_IDLE_MS) continue;
        this.#actions.push({ type: 'destroy', workerId: worker.id, reason: 'nothing needs it' });
        surplus -= 1;
      }
    }
  }

  /**
   * Makes a worker on the suitable host with the most room left; for a build first of all on one that
   * has most of its steps.
   */
  #create(pool: Pool, options: { refill?: boolean; job?: QueuedJob } = {}): boolean {
    const rollout = this.#view.rollouts.get(pool.name);
    const canary = canaryOf(pool, rollout);
    if (rollout === undefined || canary === undefined) return this.#createFrom(pool, options);
    let made = this.#made.get(pool.name);
    if (made === undefined) {
      made = { old: rollout.old.made, new: rollout.new.made };
      this.#made.set(pool.name, made);
    }
    // Where the new image cannot be had, no job waits for it.
    if (isCanaryTurn(rollout, made.old, made.new) && this.#createFrom(canary, options)) {
      made.new += 1;
      return true;
    }
    if (!this.#createFrom(pool, options)) return false;
    made.old += 1;
    return true;
  }

  #createFrom(pool: Pool, options: { refill?: boolean; job?: QueuedJob }): boolean {
    if ((this.#live.get(pool.name) ?? 0) >= pool.max) return false;
    const { build } = options.job ?? {};
    let best: { host: HostStatus; spec: WorkerSpec; room: number; cached: number } | undefined;
    for (const host of this.#view.hosts) {
      const suits = this.#hostSuits(pool, host);
      if (!suits.fits || !hostTakesJob(host, { build }).fits) continue;
      if (options.refill === true && this.#contended.has(host.id)) continue;
      const used = this.#usageOf(host.id);
      if (!hostHasRoom(host, used, suits.spec).fits) {
        if (options.refill !== true) this.#contended.add(host.id);
        continue;
      }
      const room = (host.facts?.capacity.workers ?? 0) - used.workers;
      const cached = build === undefined ? 0 : cachedSteps(build, host.facts?.builds);
      const better =
        best === undefined || cached > best.cached || (cached === best.cached && room > best.room);
      if (better) best = { host, spec: suits.spec, room, cached };
    }
    if (best === undefined) return false;
    this.#actions.push({ type: 'create', hostId: best.host.id, spec: best.spec });
    const used = this.#usageOf(best.host.id);
    used.workers += 1;
    if (needsMacosSlot(best.spec)) used.macosVms += 1;
    add(used.pools, pool.name, 1);
    add(this.#live, pool.name, 1);
    if (options.refill !== true) {
      add(this.#preparing, pool.name, 1);
      add(this.#spokenFor, pool.name, 1);
    }
    return true;
  }

  /** Destroys an idle worker of another pool where this pool could then have one. */
  #makeRoom(pool: Pool): boolean {
    if ((this.#live.get(pool.name) ?? 0) >= pool.max) return false;
    for (const [other, idle] of this.#idle) {
      if (other === pool.name) continue;
      const at = idle.findIndex((worker) => {
        const host = this.#hosts.get(worker.hostId);
        if (host === undefined) return false;
        const suits = this.#hostSuits(pool, host);
        if (!suits.fits) return false;
        const used = this.#usageOf(host.id);
        const without = {
          workers: used.workers - 1,
          macosVms: used.macosVms - (worker.macosVm ? 1 : 0),
          pools: used.pools,
        };
        return hostHasRoom(host, without, suits.spec).fits;
      });
      const worker = at >= 0 ? idle[at] : undefined;
      if (worker === undefined) continue;
      this.#destroy(worker, `it makes room for a job of pool ${pool.name}`);
      return true;
    }
    return false;
  }

  #destroy(worker: WorkerStatus, reason: string): void {
    this.#actions.push({ type: 'destroy', workerId: worker.id, reason });
    if (PREPARING.has(worker.state)) add(this.#preparing, worker.pool, -1);
    const idle = this.#idle.get(worker.pool);
    const at = idle?.indexOf(worker) ?? -1;
    if (idle !== undefined && at >= 0) idle.splice(at, 1);
  }

  #poolsOf(job: QueuedJob): Pool[] {
    return this.#view.pools.filter((pool) => poolFits(pool, job).fits);
  }

  #usageOf(hostId: string): Usage {
    const used = this.#usage.get(hostId);
    if (used === undefined) throw new Error(`no host ${hostId} in this view`);
    return used;
  }

  #hostSuits(pool: Pool, host: HostStatus): ReturnType<typeof hostSuits> {
    const key = backoffKey(pool.name, pool.image, host.id);
    let suits = this.#suits.get(key);
    if (suits === undefined) {
      suits = hostSuits(this.#view, pool, host);
      this.#suits.set(key, suits);
    }
    return suits;
  }
}

function add(counts: Map<string, number>, key: string, amount: number): void {
  counts.set(key, (counts.get(key) ?? 0) + amount);
}

function list<T>(lists: Map<string, T[]>, key: string): T[] {
  let items = lists.get(key);
  if (items === undefined) lists.set(key, (items = []));
  return items;
}
