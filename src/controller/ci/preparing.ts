import type { RunnerClass } from '../../domain/ci/ci-job.ts';
import type { HostFacts } from '../../domain/host.ts';
import { ownedPrefix } from '../../domain/ids.ts';
import {
  assignedRunnerJobs,
  findCiRunner,
  insertCiRunner,
  openCiRunners,
  runnerGone,
  runnerOfJob,
  runnerPrepared,
} from '../../db/queries/ci/runners.ts';
import { setCiJobsOfGroup } from '../../db/queries/ci/jobs.ts';
import { findHost } from '../../db/queries/hosts.ts';
import { findJob, payloadOf, setPayload } from '../../db/queries/jobs.ts';
import { findWorker } from '../../db/queries/workers.ts';
import type { CiDriver, PreparedRunner, RunnerOrder } from '../../drivers/ci/ci.ts';
import { limiter } from '../../platform/limiter.ts';
import { change, type Context } from '../context.ts';
import type { Secrets } from '../secrets.ts';
import { sealRunnerSecrets } from './runner-secrets.ts';

interface Parts {
  readonly integration: string;
  readonly driver: CiDriver;
  readonly secrets: Secrets;
  /** Told of what went wrong, in words. */
  failed(what: string, error: unknown): void;
  done(): void;
}

const TIMEOUT_MS = 120_000;
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 300_000;
const AT_ONCE = 8;

/**
 * Makes credentials for runners whose workers are ready. Each has a name of its own, which is
 * recorded before the CI system hears of it: whatever happens, it is known what to clean up.
 */
export class Preparing {
  readonly #context: Context;
  readonly #parts: Parts;
  readonly #inTurn = limiter(AT_ONCE);
  /** Jobs under way, or that rest after a failure until a time. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #resting = new Map<string, { until: number; failures: number }>();

  constructor(context: Context, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Starts what there is to start; does not wait for it. */
  async start(signal: AbortSignal): Promise<void> {
    const { integration } = this.#parts;
    const jobs = await assignedRunnerJobs(this.#context.db, integration);
    const known = new Set(jobs.map(({ id }) => id));
    for (const id of this.#resting.keys()) if (!known.has(id)) this.#resting.delete(id);
    for (const job of jobs) {
      if (job.cancel_requested === 1 || this.#busy.has(job.id)) continue;
      if ((this.#resting.get(job.id)?.until ?? 0) > this.#context.clock.monotonic()) continue;
      const runner = await runnerOfJob(this.#context.db, job.id, job.epoch);
      if (runner?.state === 'prepared' || runner?.state === 'leaving') continue;
      const work = this.#inTurn(() => this.#prepare(job.id, signal))
        .catch((error: unknown) => this.#rest(job.id, error, signal))
        .finally(() => {
          this.#busy.delete(job.id);
          this.#parts.done();
        });
      this.#busy.set(job.id, work);
    }
  }

  /**
   * Gives up what an earlier process was about to make: whether the CI system heard of it is not
   * known, so it is removed there by name, and another is made.
   */
  async recover(): Promise<void> {
    const { integration } = this.#parts;
    await change(this.#context, async ({ tx }) => {
      for (const { name, state } of await openCiRunners(tx, integration)) {
        if (state !== 'preparing') continue;
        await runnerGone(tx, { name, failed: false, reason: 'the controller was interrupted' });
      }
    });
  }

  async idle(): Promise<void> {
    await Promise.all(this.#busy.values());
  }

  async #prepare(jobId: string, signal: AbortSignal): Promise<void> {
    const order = await this.#begin(jobId);
    if (order === undefined) return;
    const within = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    try {
      const made = await this.#parts.driver.prepare(order, within);
      await this.#handOver(jobId, order.name, made);
      this.#resting.delete(jobId);
    } catch (error) {
      const reason = `its credential could not be made: ${(error as Error).message}`;
      await change(this.#context, ({ tx }) =>
        runnerGone(tx, { name: order.name, failed: false, reason }),
      );
      throw error;
    }
  }

  /** Records the name, and tells what the runner is to be. Undefined when nobody waits for it. */
  async #begin(jobId: string): Promise<RunnerOrder | undefined> {
    const { integration } = this.#parts;
    const order = await change(this.#context, async ({ tx, now }) => {
      const job = await findJob(tx, jobId);
      if (job?.state !== 'assigned' || job.cancel_requested === 1) return undefined;
      const worker = await findWorker(tx, job.worker_id ?? '');
      const host = worker && (await findHost(tx, worker.host_id));
      if (worker?.goal !== 'run' || host === undefined || host.facts === null) return undefined;
      const before = await runnerOfJob(tx, jobId, job.epoch);
      if (before !== undefined && before.state !== 'removing' && before.state !== 'removed') {
        return undefined;
      }
      const runnerClass = JSON.parse(job.runner_class ?? '') as RunnerClass;
      let name = ownedPrefix(this.#context.fleet) + worker.id;
      for (let n = 2; (await findCiRunner(tx, name)) !== undefined; n += 1) {
        name = `${ownedPrefix(this.#context.fleet)}${worker.id}-${n}`;
      }
      await insertCiRunner(tx, {
        ...{ name, integration, class_id: runnerClass.id, job_id: jobId, epoch: job.epoch },
        ...{ worker_id: worker.id, prepared_at: now },
      });
      const { os, osVersion, arch } = JSON.parse(host.facts) as HostFacts;
      const about = { id: worker.id, hostName: host.name, os, osVersion, arch };
      return { name, runnerClass, worker: about };
    });
    await this.#context.db.flush();
    return order;
  }

  async #handOver(jobId: string, name: string, made: PreparedRunner): Promise<void> {
    const { driver, integration, secrets } = this.#parts;
    const { source } = made;
    await change(this.#context, async ({ tx, now, event, host }) => {
      const runner = await findCiRunner(tx, name);
      const job = await findJob(tx, jobId);
      const waits = job?.state === 'assigned' && job.epoch === runner?.epoch;
      if (job === undefined || !waits || job.cancel_requested === 1) {
        await runnerGone(tx, { name, failed: false, reason: 'its worker was given up meanwhile' });
        return;
      }
      const sealed = sealRunnerSecrets(secrets, name, made.secretEnv);
      await runnerPrepared(tx, { name, externalId: made.externalId, sealed });
      await setPayload(tx, jobId, {
        ...payloadOf(job),
        ...{ command: made.command, env: made.env },
        ...(made.artifacts === undefined ? {} : { artifacts: made.artifacts }),
        timeoutMs: Math.min(payloadOf(job).timeoutMs, made.timeoutMs ?? Number.MAX_SAFE_INTEGER),
        ...(source === undefined ? {} : { source }),
      });
      const { group } = JSON.parse(job.runner_class ?? '{}') as Partial<RunnerClass>;
      if (driver.runsJobs === true && group !== undefined) {
        await setCiJobsOfGroup(tx, { integration, group, state: 'running', runner: name, now });
      }
      await event('job', jobId, 'prepared', name);
      const worker = await findWorker(tx, job.worker_id ?? '');
      if (worker !== undefined) host(worker.host_id);
    });
  }

  #rest(jobId: string, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#parts.failed('making a credential', error);
    const failures = (this.#resting.get(jobId)?.failures ?? 0) + 1;
    const wait = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
    const until = this.#context.clock.monotonic() + wait;
    this.#resting.set(jobId, { until, failures });
  }
}
