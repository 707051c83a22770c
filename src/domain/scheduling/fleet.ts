import type { Pool } from '../pool.ts';
import { canaryOf, type Rollout } from '../rollout.ts';
import type { WorkerState } from '../worker.ts';
import type {
  FleetView,
  HostStatus,
  QueuedJob,
  Reservation,
  RunningJob,
  TeamRules,
  WorkerStatus,
} from './fleet-view.ts';
import { HostIndex, type PlacedHost } from './host-index.ts';
import { JobQueue } from './job-queue.ts';
import { SortedList } from './sorted-list.ts';

const PREPARING: ReadonlySet<WorkerState> = new Set([
  'requested',
  'fetching',
  'cloning',
  'booting',
]);

export function isPreparing({ state }: WorkerStatus): boolean {
  return PREPARING.has(state);
}

/** A pool with its workers. */
export interface PoolState {
  pool: Pool;
  /** The pool with the image that is rolled out, while one is. */
  canary: Pool | undefined;
  rollout: Rollout | undefined;
  /** Ready workers without a job whose hosts are open, those that waited longest first. */
  readonly idle: SortedList<WorkerStatus>;
  /** Those of hosts that are out of touch. */
  away: number;
  /** On their way to ready, the oldest first. */
  readonly preparing: SortedList<WorkerStatus>;
  /** Workers of any state, but for those given up with their hosts. */
  live: number;
  /** Jobs that run on its workers, by team. */
  readonly running: Map<string, number>;
}

/**
 * The fleet in memory, kept so that what changes costs what changes: each row is taken in by itself,
 * and nothing is counted anew. Hosts come before their workers; beside that, fleets that took in the
 * same rows in whatever order are alike.
 */
export class Fleet {
  readonly hosts = new HostIndex();
  readonly queue = new JobQueue();
  readonly workers = new Map<string, WorkerStatus>();
  teams: ReadonlyMap<string, TeamRules>;
  reservations: readonly Reservation[];
  /** Workers that are to be looked at: is there a reason to retire them? */
  readonly suspects = new Set<string>();
  /** Workers that are to go: their places will be free. */
  readonly leaving = new SortedList<WorkerStatus>(byId);
  /** Jobs that have a worker, by team. */
  readonly runningByTeam = new Map<string, number>();
  readonly #pools = new Map<string, PoolState>();
  readonly #running = new Map<string, RunningJob>();
  #poolList: PoolState[] | undefined;

  constructor(rules: Pick<FleetView, 'teams' | 'reservations'>) {
    this.teams = rules.teams;
    this.reservations = rules.reservations;
  }

  static of(view: FleetView): Fleet {
    const fleet = new Fleet(view);
    for (const pool of view.pools) fleet.setPool(pool, view.rollouts.get(pool.name));
    for (const host of view.hosts) fleet.setHost(host);
    for (const worker of view.workers) fleet.setWorker(worker);
    for (const job of view.queued) fleet.setQueued(job);
    for (const job of view.running) fleet.setRunning(job);
    return fleet;
  }

  /** Those that were set, in the order of their names. */
  get pools(): readonly PoolState[] {
    return (this.#poolList ??= [...this.#pools.values()]
      .filter((state) => !isGone(state))
      .toSorted((a, b) => (a.pool.name < b.pool.name ? -1 : 1)));
  }

  pool(name: string): PoolState | undefined {
    const state = this.#pools.get(name);
    return state === undefined || isGone(state) ? undefined : state;
  }

  /** A pool as it is to be now. Nothing is looked at anew when it is as it was. */
  setPool(pool: Pool, rollout: Rollout | undefined): void {
    const state = this.#poolState(pool.name);
    const changed = JSON.stringify(state.pool) !== JSON.stringify(pool);
    const phase = ({ from, to, state: is }: Rollout) => JSON.stringify([from, to, is]);
    const turned = (rollout && phase(rollout)) !== (state.rollout && phase(state.rollout));
    state.rollout = rollout;
    if (!changed && !turned) return;
    if (changed) state.pool = pool;
    this.#poolList = undefined;
    state.canary = canaryOf(state.pool, rollout);
    this.#suspectAllOf(pool.name);
  }

  removePool(name: string): void {
    const state = this.#pools.get(name);
    if (state === undefined) return;
    this.#poolList = undefined;
    state.pool = GONE;
    this.#suspectAllOf(name);
  }

  setHost(status: HostStatus): void {
    const before = this.hosts.get(status.id);
    const workers = before === undefined ? [] : [...before.workers.values()];
    for (const worker of workers) this.#count(worker, -1);
    const host = this.hosts.set(status);
    if (status.online) host.lost = false;
    for (const worker of workers) {
      this.#count(worker, 1);
      this.suspects.add(worker.id);
    }
  }

  /** Its workers are not counted any more, until it is back. */
  loseHost(host: PlacedHost): void {
    for (const worker of host.workers.values()) this.#count(worker, -1);
    host.lost = true;
  }

  /** It was heard of since it was lost, and is away again only for a while. */
  regainHost(host: PlacedHost): void {
    host.lost = false;
    for (const worker of host.workers.values()) {
      this.#count(worker, 1);
      this.suspects.add(worker.id);
    }
  }

  removeHost(id: string): void {
    for (const worker of this.hosts.get(id)?.workers.values() ?? []) this.removeWorker(worker.id);
    this.hosts.delete(id);
  }

  setWorker(worker: WorkerStatus): void {
    this.removeWorker(worker.id);
    this.workers.set(worker.id, worker);
    const host = this.hosts.get(worker.hostId);
    if (host !== undefined) {
      host.workers.set(worker.id, worker);
      this.hosts.use(host, worker, 1);
    }
    this.#count(worker, 1);
    this.suspects.add(worker.id);
  }

  removeWorker(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined) return;
    this.#count(worker, -1);
    const host = this.hosts.get(worker.hostId);
    if (host !== undefined) {
      host.workers.delete(id);
      this.hosts.use(host, worker, -1);
    }
    this.workers.delete(id);
    this.suspects.delete(id);
  }

  setQueued(job: QueuedJob): void {
    this.#stopRunning(job.id);
    this.queue.add(job);
  }

  setRunning(job: RunningJob): void {
    this.removeJob(job.id);
    this.#running.set(job.id, job);
    this.#countRunning(job, 1);
  }

  removeJob(id: string): void {
    this.queue.remove(id);
    this.#stopRunning(id);
  }

  #stopRunning(id: string): void {
    const job = this.#running.get(id);
    if (job === undefined) return;
    this.#running.delete(id);
    this.#countRunning(job, -1);
  }

  #countRunning({ team, pool }: RunningJob, times: 1 | -1): void {
    add(this.runningByTeam, team, times);
    add(this.#poolState(pool).running, team, times);
  }

  /** Counts a worker in or out of all that is counted by pool. */
  #count(worker: WorkerStatus, times: 1 | -1): void {
    const host = this.hosts.get(worker.hostId);
    if (host?.lost === true) return;
    const state = this.#poolState(worker.pool);
    const move = (list: SortedList<WorkerStatus>) =>
      times === 1 ? list.add(worker) : void list.delete(worker);
    state.live += times;
    if (worker.goal === 'destroyed' && worker.state !== 'failed') move(this.leaving);
    if (worker.goal !== 'ready') return;
    if (isPreparing(worker)) move(state.preparing);
    if (worker.state !== 'ready') return;
    // A host that is out of touch may be back soon; one that is closed is not counted on.
    if (host?.likes !== undefined) move(state.idle);
    else if (host?.status.online !== true) state.away += times;
  }

  #poolState(name: string): PoolState {
    const known = this.#pools.get(name);
    if (known !== undefined) return known;
    const state: PoolState = {
      ...{ pool: GONE, canary: undefined, rollout: undefined },
      idle: new SortedList<WorkerStatus>(byReadiness),
      preparing: new SortedList<WorkerStatus>(byId),
      ...{ away: 0, live: 0, running: new Map<string, number>() },
    };
    this.#pools.set(name, state);
    return state;
  }

  #suspectAllOf(pool: string): void {
    for (const worker of this.workers.values()) {
      if (worker.pool === pool) this.suspects.add(worker.id);
    }
  }
}

/** Stands for pools that were removed and have workers or jobs still. */
const GONE: Pool = {
  ...{ name: '', labels: [], hostLabels: [], image: '', kind: 'sandbox', guest: 'linux' },
  ...{ ready: 0, max: 0, limits: {}, retries: 0, defaultTimeoutMs: 0, maxTimeoutMs: 0 },
};

function isGone({ pool }: PoolState): boolean {
  return pool === GONE;
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function byReadiness(a: WorkerStatus, b: WorkerStatus): number {
  return (a.readyAt ?? 0) - (b.readyAt ?? 0) || byId(a, b);
}

/** Adds to a count; those that come to nothing are not kept. */
export function add(counts: Map<string, number>, key: string, amount: number): void {
  const sum = (counts.get(key) ?? 0) + amount;
  if (sum === 0) counts.delete(key);
  else counts.set(key, sum);
}
