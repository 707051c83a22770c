import { createHash } from 'node:crypto';
import type { Payload } from '../domain/job.ts';
import type { Pool } from '../domain/pool.ts';
import { explainJob } from '../domain/scheduling/explain.ts';
import { DEFAULT_POOL, poolFits } from '../domain/scheduling/fit.ts';
import type { QueuedJob } from '../domain/scheduling/fleet-view.ts';
import { listHosts } from '../db/queries/hosts.ts';
import { listArtifacts } from '../db/queries/artifacts.ts';
import {
  findJob,
  findJobByKey,
  insertJob,
  labelsOf,
  listJobs,
  payloadOf,
  type JobFilter,
  type JobRow,
} from '../db/queries/jobs.ts';
import { nearest } from '../domain/nearest.ts';
import type { JobRequest, JobView, Why } from '../protocol/api/resources.ts';
import { ProblemError } from '../protocol/problem.ts';
import { change, type Context } from './context.ts';
import { cancelJob } from './job-endings.ts';
import type { Pools } from './pools.ts';
import type { Reconciler } from './reconcile/reconciler.ts';
import type { Secrets } from './secrets.ts';
import { jobView } from './views.ts';

interface Parts {
  readonly pools: Pools;
  readonly secrets: Secrets;
  readonly reconciler: Reconciler;
  hasSource(digest: string): Promise<boolean>;
}

/** Explaining costs what there is of hosts and pools. */
const MOST_EXPLAINED = 500;

/** What people and integrations do with jobs. */
export class Jobs {
  readonly #context: Context;
  readonly #parts: Parts;

  constructor(context: Context, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
  }

  /**
   * Records a job and returns it once it is safe on disk. The same key with the same request
   * returns the job it made before; with another request it is refused.
   */
  async submit(request: JobRequest, key: string | undefined): Promise<JobView> {
    const hash = key === undefined ? undefined : hashOf(request);
    const before = key === undefined ? undefined : await findJobByKey(this.#context.db, key);
    if (before !== undefined) return this.#sameRequest(before, hash);
    const { payload, retries } = await this.#check(request);
    const row = await change(this.#context, async ({ tx, now, newId, event }) => {
      const meanwhile = key === undefined ? undefined : await findJobByKey(tx, key);
      if (meanwhile !== undefined) return meanwhile;
      const id = newId('j');
      await insertJob(tx, {
        id,
        title: request.title ?? null,
        pool: request.pool ?? null,
        labels: request.labels,
        payload,
        priority: request.priority,
        team: request.team ?? null,
        urgent: request.urgent === true ? 1 : 0,
        wanted_host: request.host ?? null,
        retries,
        submitted_at: now,
        idempotency_key: key ?? null,
        request_hash: hash ?? null,
      });
      await event('job', id, 'queued');
      return findJob(tx, id);
    });
    if (row === undefined) throw new Error('a job vanished while it was submitted');
    await this.#context.db.flush();
    return this.#sameRequest(row, hash);
  }

  async #sameRequest(row: JobRow, hash: string | undefined): Promise<JobView> {
    if (hash !== undefined && row.request_hash !== hash) {
      throw new ProblemError(
        'idempotency_mismatch',
        `this Idempotency-Key was used for job ${row.id} with another request; use a new key`,
      );
    }
    return this.#view(row);
  }

  async #check(request: JobRequest): Promise<{ payload: Payload; retries: number }> {
    const pool = this.#poolFor(await this.#parts.pools.all(), request);
    const missing = await this.#parts.secrets.missing(request.secrets);
    if (missing.length > 0) {
      throw new ProblemError(
        'unknown_secret',
        `no secret is named ${missing.join(', ')}; set it with \`pomona secret set NAME\``,
      );
    }
    if (request.source !== undefined && !(await this.#parts.hasSource(request.source))) {
      throw new ProblemError('unknown_source', `no source ${request.source}; upload it first`);
    }
    await this.#checkHost(request);
    if (request.timeoutMs !== undefined && request.timeoutMs > pool.maxTimeoutMs) {
      throw new ProblemError('invalid', 'the time-out is longer than the pool allows', {
        errors: [
          {
            path: 'timeoutMs',
            message: `expected at most ${pool.maxTimeoutMs} (pool ${pool.name}), not ${request.timeoutMs}`,
          },
        ],
      });
    }
    return {
      retries: request.retries ?? pool.retries,
      payload: {
        command: request.command,
        env: request.env,
        secrets: request.secrets,
        ...(request.source === undefined ? {} : { source: request.source }),
        artifacts: request.artifacts,
        timeoutMs: request.timeoutMs ?? pool.defaultTimeoutMs,
        ...(request.build === undefined ? {} : { build: request.build }),
      },
    };
  }

  async #checkHost({ host }: JobRequest): Promise<void> {
    if (host === undefined) return;
    const names = (await listHosts(this.#context.db)).map(({ name }) => name);
    if (names.includes(host)) return;
    const near = nearest(host, names);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    throw new ProblemError('no_host', `there is no host ${host}${hint} (\`pomona host list\`)`);
  }

  /** The first pool that takes the job; its numbers are the job's defaults. */
  #poolFor(pools: readonly Pool[], request: JobRequest): Pool {
    const { pool, labels, build } = request;
    const job = { pool, labels, build };
    const fitting = pools.find((each) => poolFits(each, job).fits);
    if (fitting !== undefined) return fitting;
    throw new ProblemError('no_pool', whyNoPool(pools, job));
  }

  async get(id: string): Promise<JobView> {
    return this.#view(await this.#find(id));
  }

  /** Answers once the job is finished, or after `waitMs`, or when `signal` aborts. */
  async wait(id: string, waitMs: number, signal: AbortSignal): Promise<JobView> {
    const row = await this.#find(id);
    if (row.state === 'finished' || waitMs === 0) return this.#view(row);
    const until = this.#context.clock.monotonic() + waitMs;
    for (;;) {
      const next = this.#nextChange(id, until - this.#context.clock.monotonic(), signal);
      const fresh = await this.#find(id);
      const over = fresh.state === 'finished' || signal.aborted;
      if (over || this.#context.clock.monotonic() >= until) {
        next.stop();
        return this.#view(fresh);
      }
      await next.happened;
    }
  }

  #nextChange(id: string, ms: number, signal: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(0, ms));
    const unlisten = this.#context.bus.listen(({ subjects, all }) => {
      if (all || subjects.has(id)) resolve();
    });
    const aborted = () => resolve();
    signal.addEventListener('abort', aborted);
    const stop = () => {
      clearTimeout(timer);
      unlisten();
      signal.removeEventListener('abort', aborted);
    };
    return { happened: promise.finally(stop), stop };
  }

  async list({
    after,
    limit,
    ...filter
  }: Omit<JobFilter, 'before'> & { after: string | undefined; limit: number }): Promise<{
    items: JobView[];
    next: string | undefined;
  }> {
    const rows = await listJobs(this.#context.db, { ...filter, before: after }, limit);
    return {
      items: await Promise.all(rows.map((row) => this.#view(row))),
      next: rows.length === limit ? rows.at(-1)?.id : undefined,
    };
  }

  /** A waiting job ends at once; a job with a worker ends when the worker has ended it. */
  async cancel(id: string): Promise<JobView> {
    await this.#find(id);
    await change(this.#context, async (changes) => {
      const job = await findJob(changes.tx, id);
      if (job === undefined || job.state === 'finished') return;
      await cancelJob(changes, job, 'cancelled while it waited');
    });
    await this.#context.db.flush();
    return this.get(id);
  }

  /** Why a job has no worker yet: every pool and every host with its reason. */
  async why(id: string): Promise<Why> {
    const job = await this.#find(id);
    if (job.state !== 'queued') {
      return { jobId: id, state: job.state, summary: notQueued(job), ahead: 0, pools: [] };
    }
    const view = await this.#parts.reconciler.view();
    const queued = view.queued.find((each) => each.id === id);
    if (queued === undefined) return this.why(id);
    const { summary, ahead, pools } = explainJob(view, queued);
    return {
      jobId: id,
      state: job.state,
      summary,
      ahead,
      pools: pools.map((pool) => ({ ...pool, hosts: [...pool.hosts] })),
    };
  }

  /** What the first jobs that wait wait for. Jobs that ask for the same wait for the same. */
  async queue(): Promise<{ jobId: string; summary: string }[]> {
    const view = await this.#parts.reconciler.view();
    const summaries = new Map<string, string>();
    return view.queued.slice(0, MOST_EXPLAINED).map((job) => {
      const { id, ...wish } = job;
      const key = JSON.stringify(wish);
      const summary = summaries.get(key) ?? explainJob(view, job).summary;
      summaries.set(key, summary);
      return { jobId: id, summary };
    });
  }

  /**
   * The same as another job. Throws ProblemError `conflict` for one that has not ended, and for a
   * runner of a CI system, which has to ask for its job again itself.
   */
  async retry(id: string): Promise<JobView> {
    const row = await this.#find(id);
    if (row.integration !== null) {
      throw new ProblemError(
        'conflict',
        `job ${id} is a runner for ${row.integration}; run its job again there`,
      );
    }
    if (row.state !== 'finished') {
      throw new ProblemError('conflict', `job ${id} has not ended; cancel it first`);
    }
    const { command, env, secrets, source, artifacts, timeoutMs, build } = payloadOf(row);
    return this.submit(
      {
        ...{ command: [...command], env: { ...env }, secrets: [...secrets] },
        ...{ artifacts: [...artifacts], timeoutMs, labels: labelsOf(row) },
        ...{ priority: row.priority, retries: row.retries, urgent: row.urgent === 1 },
        ...(source === undefined ? {} : { source }),
        ...(build === undefined ? {} : { build: { ...build, secrets: { ...build.secrets } } }),
        ...(row.pool === null ? {} : { pool: row.pool }),
        ...(row.title === null ? {} : { title: row.title }),
        ...(row.team === null ? {} : { team: row.team }),
        ...(row.wanted_host === null ? {} : { host: row.wanted_host }),
      },
      undefined,
    );
  }

  async #find(id: string): Promise<JobRow> {
    const row = await findJob(this.#context.db, id);
    if (row === undefined) {
      throw new ProblemError('not_found', `there is no job ${id}; \`pomona job list\` shows them`);
    }
    return row;
  }

  async #view(row: JobRow): Promise<JobView> {
    const artifacts =
      row.epoch === 0 ? [] : await listArtifacts(this.#context.db, row.id, row.epoch);
    return jobView(row, artifacts);
  }
}

function hashOf(request: JobRequest): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('hex');
}

function whyNoPool(pools: readonly Pool[], job: Omit<QueuedJob, 'id'>): string {
  if (job.build !== undefined && !pools.some(({ kind }) => kind === 'build')) {
    return 'no pool is of the kind build; add `- { name: builds, kind: build }` to the pools';
  }
  const names = pools.map((pool) => pool.name);
  const known = `pools are: ${names.join(', ') || 'none'}`;
  if (job.pool !== undefined && !names.includes(job.pool)) {
    const near = nearest(job.pool, names);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    return `there is no pool ${job.pool}${hint} (${known})`;
  }
  const candidates =
    job.pool === undefined ? pools : pools.filter((pool) => pool.name === job.pool);
  const labels = new Set(candidates.flatMap((pool) => pool.labels));
  const unknown = job.labels.filter((label) => !labels.has(label));
  if (unknown.length > 0) {
    const near = nearest(unknown[0] ?? '', [...labels]);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    const where = job.pool === undefined ? 'no pool' : `pool ${job.pool}`;
    return `${where} has the label ${unknown.join(', ')}${hint} (labels are: ${[...labels].join(', ') || 'none'})`;
  }
  if (job.labels.length > 0) {
    return `no single pool has all of the labels ${job.labels.join(', ')} (${known})`;
  }
  return `there is no pool ${DEFAULT_POOL}, where jobs go that name no pool and no labels (${known})`;
}

function notQueued(job: JobRow): string {
  switch (job.state) {
    case 'finished':
      return `It is finished: ${job.outcome}${job.reason === null ? '' : ` (${job.reason})`}.`;
    case 'assigned':
      return `It was handed to a worker on host ${job.host_name} and is about to start.`;
    default:
      return `It runs on host ${job.host_name}.`;
  }
}
