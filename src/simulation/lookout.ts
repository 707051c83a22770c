import type { Database } from '../db/database.ts';
import { listHosts } from '../db/queries/hosts.ts';
import { findJob, openJobs } from '../db/queries/jobs.ts';
import { liveWorkers, liveWorkersOfHost, type WorkerRow } from '../db/queries/workers.ts';
import type { Audit, Violation } from './audit.ts';
import type { Network } from './network.ts';
import { EPOCH, type SimController } from './sim-controller.ts';
import { FACTS, HOST_LOST_MS, POOLS } from './sim-fleet.ts';
import type { SimHost } from './sim-host.ts';
import type { VirtualTime } from './virtual-time.ts';

/** And a session that is silent is over after this, with room for the network. */
const SILENCE_MS = 60_000;
/** A job waits no longer than this beside a worker it could have, when all is calm. */
export const IDLE_BOUND_MS = 30_000;
const BEFORE_READY: ReadonlySet<string> = new Set([
  ...['requested', 'fetching', 'cloning', 'booting'],
]);

/** What is looked at. */
export interface Seen {
  readonly time: VirtualTime;
  readonly network: Network;
  readonly db: Database;
  readonly audit: Audit;
  readonly controllers: readonly SimController[];
  readonly hosts: ReadonlyMap<string, SimHost>;
  /** Share of the transactions that are refused. */
  conflicts(): number;
}

/** Looks now and then for what no single event shows: what waits, and what is left over. */
export class Lookout {
  readonly #seen: Seen;
  /** When jobs came back to the queue. */
  readonly #requeued = new Map<string, number>();
  #trouble = '';
  #steadySince = 0;
  /** Until when something is wrong with hosts. */
  troubledUntil = 0;

  constructor(seen: Seen) {
    this.#seen = seen;
  }

  jobChanged(id: string): void {
    this.#requeued.set(id, EPOCH + this.#seen.time.now);
  }

  /**
   * While the same things are wrong, or nothing is, for a while, what is not touched by them works: hosts
   * without a session are given up, and jobs that could run do not wait.
   */
  async look(): Promise<void> {
    const { now } = this.#seen.time;
    const impaired = this.#seen.controllers.map(
      ({ name, process }) => !process.runs || this.#seen.network.isCut(name, 'database'),
    );
    const strange =
      impaired.every(Boolean) || now < this.#seen.network.slowUntil || this.#seen.conflicts() > 0;
    // One that was killed and is back begins anew.
    const ids = this.#seen.controllers.map(({ context }) => context.controllerId);
    const trouble = JSON.stringify([ids, impaired, strange]);
    if (trouble !== this.#trouble || strange) {
      this.#trouble = trouble;
      this.#steadySince = now;
    }
    const steadyMs = now - this.#steadySince;
    if (steadyMs > HOST_LOST_MS + SILENCE_MS) await this.#lookForLost();
    if (now > this.troubledUntil + IDLE_BOUND_MS && steadyMs > 2 * IDLE_BOUND_MS) {
      await this.#lookForIdle();
    }
  }

  async #lookForLost(): Promise<void> {
    for (const host of this.#seen.hosts.values()) {
      const { silentSince = Infinity } = host;
      if (this.#seen.time.now - silentSince < HOST_LOST_MS + SILENCE_MS) continue;
      const left = (await liveWorkersOfHost(this.#seen.db, host.id)).find(
        ({ state }) => state !== 'failed',
      );
      if (left !== undefined) this.#seen.audit.violated('given-up', `${left.id} of ${host.name}`);
    }
  }

  async #lookForIdle(): Promise<void> {
    const since = this.#seen.time.now + EPOCH - 2 * IDLE_BOUND_MS;
    const jobs = (await openJobs(this.#seen.db)).filter(
      // Red jobs may wait for their quota.
      (job) => job.state === 'queued' && job.team !== 'red',
    );
    if (jobs.length === 0) return;
    // What has something to do to itself takes no jobs meanwhile.
    const closed = new Set(
      (await listHosts(this.#seen.db))
        .filter(({ task, state }) => task !== null || state !== 'active')
        .map(({ id }) => id),
    );
    const workers = await liveWorkers(this.#seen.db);
    for (const job of jobs) {
      const row = await findJob(this.#seen.db, job.id);
      const waitsSince = Math.max(row?.submitted_at ?? 0, this.#lastChange(job.id));
      if (waitsSince > since) continue;
      const mine = workers.filter(({ pool }) => pool === job.pool);
      const idle = mine.find(
        ({ state, goal, ready_at: at, host_id: host }) =>
          !closed.has(host) && state === 'ready' && goal === 'ready' && (at ?? Infinity) < since,
      );
      if (idle !== undefined) {
        this.#seen.audit.violated(
          'no-waiting',
          `${job.id} waits beside the idle worker ${idle.id}`,
        );
      }
      const most = POOLS.find(({ name }) => name === job.pool)?.max ?? 0;
      const room = [...this.#seen.hosts.values()].find(
        (host) => !closed.has(host.id) && this.#hasRoom(host, workers, since),
      );
      // A machine that hangs in its boot keeps the job that it was promised to.
      const hangs = mine.some(
        ({ state, created_at: at }) => BEFORE_READY.has(state) && at < since + IDLE_BOUND_MS,
      );
      if (mine.length < most && room !== undefined && !hangs) {
        this.#seen.audit.violated('no-waiting', `${job.id} waits, and ${room.name} has room`);
      }
    }
  }

  /** When a job came back to the queue, by the clock of all. */
  #lastChange(jobId: string): number {
    return this.#requeued.get(jobId) ?? 0;
  }

  #hasRoom(host: SimHost, workers: readonly WorkerRow[], since: number): boolean {
    if (host.silentSince !== undefined || host.facts !== FACTS) return false;
    const mine = workers.filter(({ host_id: id }) => id === host.id);
    const quiet = mine.every(({ updated_at: at }) => at < since);
    return quiet && mine.length < 2 && !host.habits.diskFull && host.habits.bootFails < 1;
  }

  /** What is not as it should be once all is over; undefined when all is. */
  async untidy(): Promise<Violation | undefined> {
    const no = (invariant: Violation['invariant'], detail: string) => ({
      ...{ at: this.#seen.time.now, invariant, detail },
    });
    const [open] = await openJobs(this.#seen.db);
    if (open !== undefined) return no('ends', `${open.id} is ${open.state}`);
    const workers = await liveWorkers(this.#seen.db);
    for (const { name, ready } of POOLS) {
      const mine = workers.filter(({ pool }) => pool === name);
      const idle = mine.filter(({ state, goal }) => state === 'ready' && goal === 'ready').length;
      if (idle < ready || mine.length > ready) {
        return no('ready', `pool ${name} has ${idle} ready of ${mine.length}, and wants ${ready}`);
      }
    }
    const known = new Set(workers.map(({ id }) => id));
    for (const host of this.#seen.hosts.values()) {
      for (const id of host.workers.keys()) {
        if (!known.has(id)) return no('no-leak', `${id} is left on ${host.name}`);
      }
    }
    return undefined;
  }
}
