import type { Queryable } from '../db/database.ts';
import { findJob, type JobRow } from '../db/queries/jobs.ts';
import type { JobOrder } from '../domain/job.ts';
import { MACOS_VMS_PER_HOST } from '../domain/host.ts';
import type { WorkerSpec } from '../domain/worker.ts';
import type { SimHost } from './sim-host.ts';
import { QUOTA } from './scenario.ts';
import { Shares } from './shares.ts';

/** What must hold, and does not. */
export interface Violation {
  /** Of the run, ms since its beginning. */
  readonly at: number;
  readonly invariant: Invariant;
  readonly detail: string;
}

/**
 * | invariant   | what holds at every event                                                       |
 * |-------------|---------------------------------------------------------------------------------|
 * | once        | a command starts once for each hand-over, and again only if it may be retried    |
 * | one-job     | a worker gets one job in each of its epochs, and as many as its pool says         |
 * | two-macs    | a Mac has no more than two guests of macOS, and no more workers than it takes    |
 * | final       | a job that is finished stays what it is                                          |
 * | one-worker  | a job has one worker                                                             |
 * | fits        | a job runs on a worker of a pool that takes it                                   |
 * | max         | a pool has no more workers than its maximum                                     |
 * | retries     | each time that a command starts again costs a retry                             |
 * | given-up    | the workers of a host that is gone for long are given up                        |
 * | emptied     | a host that reboots because it was asked to has no machines                     |
 * | quota       | a team has no more jobs running than its quota                                   |
 * | shares      | a team that waits has no less for its weight than one that is served, but for one |
 * | no-waiting  | no job waits long while a worker that it could have is idle                      |
 * | ends        | when nothing goes wrong any more every job ends                                  |
 * | kept        | a job is lost only if it may have begun, and never when nothing went wrong       |
 * | right       | a job that ended by itself has the outcome of its command                        |
 * | ready       | then each pool has the ready workers that it should have                         |
 * | no-leak     | then hosts have the machines that the controllers know of, and no others         |
 */
export type Invariant =
  | 'once'
  | 'one-job'
  | 'two-macs'
  | 'final'
  | 'one-worker'
  | 'fits'
  | 'max'
  | 'retries'
  | 'given-up'
  | 'emptied'
  | 'quota'
  | 'shares'
  | 'no-waiting'
  | 'ends'
  | 'kept'
  | 'right'
  | 'ready'
  | 'no-leak';

/** Why workers fail that were never given a job, as their agents say it. */
const SAID_BY_AGENTS: ReadonlySet<string> = new Set([
  'its host was restarted',
  'cancelled before its job started',
  'it is not there any more',
]);

/** What is known of a job beside its row. */
export interface TrackedJob {
  readonly id: string;
  readonly pool: string;
  readonly retries: number;
  readonly exitCode: number;
  /** Hand-overs whose command started. */
  readonly starts: number[];
  final: string | undefined;
}

/** Looks at what happens, and notes what must not. */
export class Audit {
  readonly violations: Violation[] = [];
  readonly jobs = new Map<string, TrackedJob>();
  readonly #now: () => number;
  readonly #calm: boolean;
  readonly #shares = new Shares();
  readonly #most: ReadonlyMap<string, number>;
  /** Jobs that a worker began, by the worker's epoch. */
  readonly #jobsOf = new Map<string, Map<number, string>>();

  /** @param calm nothing goes wrong in this run; @param most workers of each pool */
  constructor(now: () => number, calm: boolean, most: ReadonlyMap<string, number>) {
    this.#most = most;
    this.#now = now;
    this.#calm = calm;
  }

  violated(invariant: Invariant, detail: string): void {
    this.violations.push({ at: Math.round(this.#now()), invariant, detail });
  }

  started(host: SimHost, workerId: string, { jobId, epoch }: JobOrder): void {
    const job = this.jobs.get(jobId);
    if (job === undefined) return this.violated('fits', `${jobId} is no job of this run`);
    if (job.starts.includes(epoch)) {
      this.violated('once', `hand-over ${epoch} of ${jobId} started twice, now on ${host.name}`);
    }
    job.starts.push(epoch);
    if (job.starts.length > 1 + job.retries) {
      this.violated('once', `${jobId} started ${job.starts.length} times, now on ${host.name}`);
    }
    const worker = host.workers.get(workerId);
    const jobs = this.#jobsOf.get(workerId) ?? new Map<number, string>();
    this.#jobsOf.set(workerId, jobs);
    const before = jobs.get(worker?.epoch ?? 0);
    if (before !== undefined)
      this.violated('one-job', `${workerId} had ${before}, and has ${jobId}`);
    jobs.set(worker?.epoch ?? 0, jobId);
    if (jobs.size > (worker?.spec.jobs ?? 1)) {
      this.violated('one-job', `${workerId} has its ${jobs.size}. job: ${jobId}`);
    }
    const pool = worker?.spec.pool;
    if (pool !== job.pool) this.violated('fits', `${jobId} of ${job.pool} runs in ${pool}`);
  }

  machineStarted(host: SimHost, spec: WorkerSpec): void {
    if (spec.kind === 'vm' && spec.guest === 'macos' && host.machines(true) > MACOS_VMS_PER_HOST) {
      this.violated('two-macs', `${host.name} has ${host.machines(true)} guests of macOS`);
    }
    if (host.workers.size > host.facts.capacity.workers) {
      this.violated('two-macs', `${host.name} has ${host.workers.size} workers`);
    }
  }

  /** Because it was asked to. */
  reboots(host: SimHost): void {
    if (host.machines() > 0) {
      this.violated('emptied', `${host.name} reboots with ${host.machines()} machines`);
    }
  }

  /** After a transaction that changed these jobs. */
  async changed(db: Queryable, jobIds: Iterable<string>): Promise<void> {
    const rows: JobRow[] = [];
    for (const id of jobIds) {
      const row = await findJob(db, id);
      if (row !== undefined) rows.push(row);
    }
    for (const row of rows) this.#jobChanged(row);
    const unfair = this.#shares.changed(rows, this.#now());
    if (unfair !== undefined) this.violated('shares', unfair);
    const shared = await db.get<{ job_id: string; n: number }>(
      `SELECT job_id, COUNT(*) AS n FROM workers
       WHERE goal IN ('run', 'cancel') AND state NOT IN ('failed', 'destroyed')
       GROUP BY job_id HAVING COUNT(*) > 1`,
    );
    if (shared !== undefined)
      this.violated('one-worker', `${shared.job_id} has ${shared.n} workers`);
    for (const { pool, n } of await db.all<{ pool: string; n: number }>(
      "SELECT pool, COUNT(*) AS n FROM workers WHERE state NOT IN ('failed', 'destroyed') GROUP BY pool",
    )) {
      const most = this.#most.get(pool) ?? Infinity;
      if (Number(n) > most) this.violated('max', `pool ${pool} has ${n} workers of ${most}`);
    }
    const over = await db.get<{ n: number }>(
      "SELECT COUNT(*) AS n FROM jobs WHERE team = 'red' AND state IN ('assigned', 'running')",
    );
    if (Number(over?.n) > QUOTA) this.violated('quota', `red has ${over?.n} jobs running`);
  }

  #jobChanged(row: JobRow): void {
    const job = this.jobs.get(row.id);
    if (job === undefined) return;
    const { state, outcome, exit_code: exitCode, epoch, finished_at: at } = row;
    const is = JSON.stringify([state, outcome, exitCode, epoch, at]);
    if (job.final !== undefined && job.final !== is) {
      this.violated('final', `${row.id} was ${job.final} and is ${is}`);
    }
    const spent = row.retries - row.retries_left;
    if (state === 'queued' && job.starts.length > spent) {
      this.violated('retries', `${row.id} started ${job.starts.length} times and spent ${spent}`);
    }
    if (state !== 'finished') return;
    job.final = is;
    if (outcome === 'lost' && job.starts.length === 0 && SAID_BY_AGENTS.has(row.reason ?? '')) {
      this.violated('kept', `${row.id} is lost and never began: ${row.reason}`);
    }
    if (outcome === 'lost' && (this.#calm || epoch === 0)) {
      this.violated('kept', `${row.id} is lost: ${row.reason}`);
    }
    if (outcome === 'cancelled' && row.cancel_requested === 0) {
      this.violated('kept', `${row.id} is cancelled, and nobody asked for it`);
    }
    const own = outcome === 'succeeded' || outcome === 'failed';
    if (own && (exitCode !== job.exitCode || !job.starts.includes(epoch))) {
      this.violated('right', `${row.id} ended with ${exitCode}, its command with ${job.exitCode}`);
    }
  }
}
