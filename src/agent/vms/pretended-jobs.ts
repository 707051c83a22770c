import type { JobOrder, JobResult } from '../../domain/job.ts';
import { DEFAULT_LOG_BYTES } from '../../domain/worker.ts';
import type { VmDriver } from '../../drivers/vm/vm.ts';
import { readJson, writeJson } from '../../platform/atomic-file.ts';
import type { Logger } from '../../platform/logger.ts';
import { LogWriter } from '../keeper/log-writer.ts';
import { Masker, secretForms } from '../keeper/mask.ts';
import {
  clearJob,
  workerPaths,
  type OrderRecord,
  type StartedRecord,
  type WorkerPaths,
  type WorkerRecord,
} from '../worker-dir.ts';
import type { DirOf } from '../runtime.ts';
import type { VmJobs } from './vm-jobs.ts';

/**
 * Jobs in guests that are pretended: this process itself stands by them, as they are many and cost
 * nothing. They are lost when the agent is restarted.
 */
export class PretendedJobs implements VmJobs {
  readonly #dirOf: DirOf;
  readonly #log: Logger;
  /** Jobs that this process stands by, by worker name. */
  readonly #running = new Map<string, AbortController>();

  constructor(dirOf: DirOf, log: Logger) {
    this.#dirOf = dirOf;
    this.#log = log;
  }

  async prepare(worker: WorkerRecord): Promise<void> {
    await writeJson(this.#paths(worker).environment, {});
  }

  renew(worker: WorkerRecord): Promise<void> {
    return clearJob(this.#paths(worker));
  }

  readyFile(paths: WorkerPaths): string {
    return paths.environment;
  }

  async isAttended(worker: WorkerRecord, paths: WorkerPaths): Promise<boolean> {
    return (await readJson(paths.order)) === undefined || this.#running.has(worker.name);
  }

  async handOver(worker: WorkerRecord, driver: VmDriver, order: JobOrder): Promise<void> {
    const paths = this.#paths(worker);
    const { jobId, epoch } = order;
    if ((await readJson(paths.order)) !== undefined) return;
    const stop = new AbortController();
    this.#running.set(worker.name, stop);
    await writeJson(paths.order, { jobId, epoch, sealed: '' } satisfies OrderRecord);
    this.#carryOut(worker, driver, order, stop.signal)
      .then((result) => writeJson(paths.result, result))
      .catch((error: unknown) => {
        this.#log.log('error', 'a result could not be written', { job: jobId, error });
      })
      .finally(() => this.#running.delete(worker.name));
  }

  async #carryOut(
    worker: WorkerRecord,
    driver: VmDriver,
    order: JobOrder,
    stop: AbortSignal,
  ): Promise<JobResult> {
    const paths = this.#paths(worker);
    const { payload, secretValues } = order;
    const masker = new Masker(secretForms(Object.values(secretValues)));
    const limit = worker.spec.limits.logBytes ?? DEFAULT_LOG_BYTES;
    const log = await LogWriter.create(paths.log, masker, limit);
    const clock = AbortSignal.timeout(payload.timeoutMs);
    const startedAt = Date.now();
    let end: Pick<JobResult, 'outcome' | 'exitCode' | 'reason'>;
    try {
      await writeJson(paths.started, { startedAt } satisfies StartedRecord);
      const { exitCode } = await driver.exec(
        worker.name,
        {
          argv: payload.command,
          env: { ...payload.env, ...secretValues },
          onOutput: (chunk) => log.write(Buffer.from(chunk)),
        },
        AbortSignal.any([stop, clock]),
      );
      end = { outcome: exitCode === 0 ? 'succeeded' : 'failed', exitCode };
    } catch (error) {
      if (stop.aborted) end = { outcome: 'cancelled' };
      else if (clock.aborted)
        end = { outcome: 'timed-out', reason: 'it ran longer than its time-out' };
      else end = { outcome: 'lost', reason: (error as Error).message };
    }
    await log.close();
    return { ...end, startedAt, finishedAt: Date.now(), logBytes: log.bytes };
  }

  async cancel(worker: WorkerRecord): Promise<void> {
    this.#running.get(worker.name)?.abort();
    await writeJson(this.#paths(worker).cancel, {});
  }

  async workFiles(): Promise<undefined> {
    return undefined;
  }

  async end(worker: WorkerRecord): Promise<void> {
    this.#running.get(worker.name)?.abort();
  }

  #paths(worker: WorkerRecord): WorkerPaths {
    return workerPaths(this.#dirOf(worker));
  }
}
