import { cachedSteps } from '../build.ts';
import type { Pool } from '../pool.ts';
import { isCanaryTurn } from '../rollout.ts';
import type { WorkerSpec } from '../worker.ts';
import type { Circumstances, FleetAction } from './decide.ts';
import { hostHasRoom, hostTakesJob, needsMacosSlot, notBackedOff, poolFits } from './fit.ts';
import { add, isPreparing, type Fleet, type PoolState } from './fleet.ts';
import type { QueuedJob, WorkerStatus } from './fleet-view.ts';
import { macosRoomOf, roomOf, type HostClass, type PlacedHost } from './host-index.ts';
import type { Line } from './job-queue.ts';
import { Turns } from './turns.ts';

/** What a pass did for a pool so far. */
interface Plan {
  readonly state: PoolState;
  /** Workers with those of this pass. */
  live: number;
  /** Workers on their way to ready that no waiting job was promised yet. */
  coming: number;
  /** Workers of both images made since the roll-out began, with those of this pass. */
  readonly made: { old: number; new: number };
  /** No host has room for one more: not looked for again. */
  full: boolean;
  /** Jobs of it wait that no worker was found or made for. */
  unmet: boolean;
}

interface Place {
  readonly host: PlacedHost;
  readonly spec: WorkerSpec;
}

/**
 * One pass over the fleet: what it hands out and makes is counted in the fleet meanwhile, so that
 * nothing is given twice, and taken back by `undo`.
 */
export class Pass {
  readonly #fleet: Fleet;
  readonly #circumstances: Circumstances;
  readonly #actions: FleetAction[];
  readonly #plans: Map<string, Plan>;
  readonly #turns: Turns;
  /** Workers on their way that a waiting job was promised, where each is looked at by itself. */
  readonly #promised = new Set<string>();
  /** Pools that take the jobs of a line. */
  readonly #poolsOf = new Map<string, readonly Plan[]>();
  readonly #undo: (() => void)[] = [];

  constructor(fleet: Fleet, circumstances: Circumstances, actions: FleetAction[]) {
    this.#fleet = fleet;
    this.#circumstances = circumstances;
    this.#actions = actions;
    this.#turns = new Turns(fleet);
    this.#plans = new Map(
      fleet.pools.map((state) => [
        state.pool.name,
        {
          ...{ state, live: state.live, coming: state.preparing.size },
          made: { old: state.rollout?.old.made ?? 0, new: state.rollout?.new.made ?? 0 },
          ...{ full: false, unmet: false },
        },
      ]),
    );
  }

  undo(): void {
    for (const step of this.#undo.toReversed()) step();
  }

  destroy(worker: WorkerStatus, reason: string): void {
    this.#actions.push({ type: 'destroy', workerId: worker.id, reason });
    const plan = this.#plans.get(worker.pool);
    if (plan === undefined) return;
    if (isPreparing(worker)) plan.coming -= 1;
    this.#take(plan.state, worker);
  }

  /** Gives ready workers to waiting jobs. */
  assignReady(): void {
    this.#turns.each((job, line) => {
      for (const plan of this.#poolsFor(line, job)) {
        if (plan.state.idle.size === 0 || this.#isReserved(plan.state, line.team)) continue;
        const worker = this.#idleFor(plan.state, job);
        if (worker === undefined) continue;
        this.#take(plan.state, worker);
        this.#countRunning(plan.state, line.team);
        this.#actions.push({ type: 'assign', jobId: job.id, workerId: worker.id });
        return true;
      }
      return false;
    });
  }

  /** Makes workers for the jobs that are left. */
  makeForWaiting(): void {
    this.#turns.each((job, line) => {
      const plans = this.#poolsFor(line, job).filter(
        ({ state }) => !this.#isReserved(state, line.team),
      );
      if (plans.some((plan) => this.#claimComing(plan, job))) return true;
      if (plans.some((plan) => this.#make(plan, job))) return true;
      for (const plan of plans) if (plan.live < plan.state.pool.max) plan.unmet = true;
      return plans.some((plan) => this.#claimLeaving(plan, job) || this.#makeRoom(plan, job));
    });
  }

  keepReady(): void {
    for (const plan of this.#plans.values()) {
      const { idle, away, pool } = plan.state;
      let have = plan.coming + idle.size + away;
      while (have < pool.ready && this.#make(plan, undefined)) have += 1;
    }
  }

  #poolsFor(line: Line, job: QueuedJob): readonly Plan[] {
    let plans = this.#poolsOf.get(line.key);
    if (plans === undefined) {
      plans = [...this.#plans.values()].filter(({ state }) => poolFits(state.pool, job).fits);
      this.#poolsOf.set(line.key, plans);
    }
    return plans;
  }

  /** Whether all of the pool that is left is reserved for other teams. */
  #isReserved(state: PoolState, team: string): boolean {
    let reserved = 0;
    for (const { pool, team: owner, workers } of this.#fleet.reservations) {
      if (pool !== state.pool.name || owner === team) continue;
      reserved += Math.max(0, workers - (state.running.get(owner) ?? 0));
    }
    if (reserved === 0) return false;
    let running = 0;
    for (const count of state.running.values()) running += count;
    return this.#capacityOf(state.pool) - running <= reserved;
  }

  /** Workers that the pool may have, on the hosts that suit it. */
  #capacityOf(pool: Pool): number {
    let capacity = 0;
    for (const likes of this.#fleet.hosts.classes) {
      if (likes.suits(pool).fits) capacity += likes.capacity;
    }
    return Math.min(capacity, pool.max);
  }

  /** The one that waited longest; for a build the one whose host has most of its steps. */
  #idleFor({ idle }: PoolState, job: QueuedJob): WorkerStatus | undefined {
    if (job.host === undefined && job.build === undefined) return idle.at(0);
    return this.#mostCached(job, idle);
  }

  #mostCached(job: QueuedJob, workers: Iterable<WorkerStatus>): WorkerStatus | undefined {
    let best: { worker: WorkerStatus; steps: number } | undefined;
    for (const worker of workers) {
      const host = this.#fleet.hosts.get(worker.hostId);
      if (host === undefined || !hostTakesJob(host.status, job).fits) continue;
      const { facts } = host.status;
      const steps = job.build === undefined ? 0 : cachedSteps(job.build, facts?.builds);
      if (best === undefined || steps > best.steps) best = { worker, steps };
    }
    return best?.worker;
  }

  /** Promises one worker that is on its way to a waiting job, if one is left. */
  #claimComing(plan: Plan, job: QueuedJob): boolean {
    if (plan.coming <= 0) return false;
    if (job.host !== undefined || job.build !== undefined) {
      const free = [...plan.state.preparing].filter(({ id }) => !this.#promised.has(id));
      const best = this.#mostCached(job, free);
      if (best === undefined) return false;
      this.#promised.add(best.id);
    }
    plan.coming -= 1;
    return true;
  }

  /** Makes a worker: for a waiting job, or to keep one ready. */
  #make(plan: Plan, job: QueuedJob | undefined): boolean {
    const { pool, canary, rollout } = plan.state;
    if (plan.live >= pool.max) return false;
    const { made } = plan;
    // Where the new image cannot be had, no job waits for it.
    const turn = canary !== undefined && rollout !== undefined;
    if (turn && isCanaryTurn(rollout, made.old, made.new) && this.#makeFrom(plan, canary, job)) {
      made.new += 1;
      return true;
    }
    // A job that asks for more than its pool may find no host where others do.
    const choosy = job?.host !== undefined || job?.build !== undefined;
    if (plan.full && !choosy) return false;
    if (this.#makeFrom(plan, pool, job)) {
      made.old += 1;
      return true;
    }
    if (!choosy) plan.full = true;
    return false;
  }

  #makeFrom(plan: Plan, pool: Pool, job: QueuedJob | undefined): boolean {
    const place = this.#placeFor(pool, job);
    if (place === undefined) return false;
    const { host, spec } = place;
    this.#actions.push({ type: 'create', hostId: host.status.id, spec });
    plan.live += 1;
    const counted = { pool: pool.name, macosVm: needsMacosSlot(spec), limits: spec.limits };
    this.#fleet.hosts.use(host, counted, 1);
    this.#undo.push(() => this.#fleet.hosts.use(host, counted, -1));
    return true;
  }

  /**
   * The host with the most room, or the least where the pool is packed; of those alike the one that
   * failed less, then the one used less. For a build first of all the one that has most of its steps.
   */
  #placeFor(pool: Pool, job: QueuedJob | undefined): Place | undefined {
    let best: (Place & { room: number; steps: number }) | undefined;
    const packed = pool.placement === 'pack';
    for (const likes of this.#fleet.hosts.classes) {
      const suits = likes.suits(pool);
      if (!suits.fits) continue;
      for (const host of inOrder(likes, suits.spec, packed)) {
        if (!this.#mayHave(host, pool, suits.spec, job)) continue;
        const room = packed ? -roomOf(host) : roomOf(host);
        const { build } = job ?? {};
        const steps = build === undefined ? 0 : cachedSteps(build, host.status.facts?.builds);
        const better =
          best === undefined || steps > best.steps || (steps === best.steps && room > best.room);
        if (better) best = { host, spec: suits.spec, room, steps };
        if (build === undefined) break;
      }
    }
    return best;
  }

  #mayHave(host: PlacedHost, pool: Pool, spec: WorkerSpec, job: QueuedJob | undefined): boolean {
    const { status, usage } = host;
    if (job === undefined && this.#isContended(host)) return false;
    return (
      (job === undefined || hostTakesJob(status, job).fits) &&
      hostHasRoom(status, usage, spec).fits &&
      notBackedOff(this.#circumstances, pool, status, { fits: true }).fits
    );
  }

  /** A waiting job would use the host if it had room: nothing is kept ready there meanwhile. */
  #isContended({ likes, status }: PlacedHost): boolean {
    for (const { unmet, state } of this.#plans.values()) {
      if (!unmet || likes?.suits(state.pool).fits !== true) continue;
      if (notBackedOff(this.#circumstances, state.pool, status, { fits: true }).fits) return true;
    }
    return false;
  }

  /** Promises a waiting job the place of a worker that goes already. */
  #claimLeaving(plan: Plan, job: QueuedJob): boolean {
    if (plan.live >= plan.state.pool.max) return false;
    for (const worker of this.#fleet.leaving) {
      if (this.#promised.has(worker.id) || !this.#couldReplace(plan, job, worker)) continue;
      this.#promised.add(worker.id);
      return true;
    }
    return false;
  }

  /** Destroys an idle worker of another pool where this pool could then have one. */
  #makeRoom(plan: Plan, job: QueuedJob): boolean {
    if (plan.live >= plan.state.pool.max) return false;
    for (const other of this.#plans.values()) {
      if (other === plan) continue;
      for (const worker of other.state.idle) {
        if (!this.#couldReplace(plan, job, worker)) continue;
        this.destroy(worker, `it makes room for a job of pool ${plan.state.pool.name}`);
        return true;
      }
    }
    return false;
  }

  #couldReplace({ state }: Plan, job: QueuedJob, worker: WorkerStatus): boolean {
    const host = this.#fleet.hosts.get(worker.hostId);
    const suits = host?.likes?.suits(state.pool);
    if (host === undefined || suits?.fits !== true) return false;
    this.#fleet.hosts.use(host, worker, -1);
    const could = this.#mayHave(host, state.pool, suits.spec, job);
    this.#fleet.hosts.use(host, worker, 1);
    return could;
  }

  #take({ idle }: PoolState, worker: WorkerStatus): void {
    if (idle.delete(worker)) this.#undo.push(() => idle.add(worker));
  }

  #countRunning({ running }: PoolState, team: string): void {
    add(running, team, 1);
    this.#undo.push(() => add(running, team, -1));
  }
}

/** Hosts with room of those that are alike, in the order in which they are taken. */
function* inOrder(likes: HostClass, spec: WorkerSpec, packed: boolean): Generator<PlacedHost> {
  const macos = needsMacosSlot(spec);
  const hosts = macos ? likes.byMacosRoom : likes.byRoom;
  const rooms = macos ? macosRoomOf : roomOf;
  const count = hosts.firstWhere((host) => rooms(host) <= 0);
  for (let index = 0; index < count; index += 1) {
    const host = hosts.at(packed ? count - 1 - index : index);
    if (host !== undefined) yield host;
  }
}
