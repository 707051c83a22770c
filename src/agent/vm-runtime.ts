import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ownedPrefix } from '../domain/ids.ts';
import type { JobOrder, JobResult } from '../domain/job.ts';
import { DEFAULT_LOG_BYTES, type WorkerState } from '../domain/worker.ts';
import type { VmDriver, VmDriverEntry } from '../drivers/vm/vm.ts';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import type { Logger } from '../platform/logger.ts';
import { LogWriter } from './keeper/log-writer.ts';
import { Masker, secretForms } from './keeper/mask.ts';
import { lookAtFiles } from './look-at-files.ts';
import type { DirOf, Look, WorkerRuntime } from './runtime.ts';
import {
  workerPaths,
  type OrderRecord,
  type StartedRecord,
  type WorkerPaths,
  type WorkerRecord,
} from './worker-dir.ts';

interface Parts {
  readonly vms: Readonly<Record<string, VmDriverEntry>>;
  /** `vms/<driver>` is made below it. */
  readonly dataDir: string;
  readonly dirOf: DirOf;
  readonly fleet: string;
  readonly log: Logger;
}

/**
 * Workers that are virtual machines. The agent itself stands by the command, so a job ends as lost
 * when the agent is restarted, unless the driver's guests keep it.
 */
export class VmRuntime implements WorkerRuntime {
  readonly #parts: Parts;
  readonly #drivers = new Map<string, VmDriver>();
  /** Jobs that this process stands by, by worker name. */
  readonly #running = new Map<string, AbortController>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async make(
    worker: WorkerRecord,
    progress: (state: WorkerState) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const driver = await this.#driver(worker);
    const { image, limits } = worker.spec;
    progress('cloning');
    await driver.clone({ name: worker.name, image, limits }, signal);
    progress('booting');
    await driver.boot(worker.name, signal);
    await writeJson(this.#paths(worker).environment, {});
  }

  look(worker: WorkerRecord): Promise<Look> {
    const paths = this.#paths(worker);
    return lookAtFiles(
      paths,
      async () => (await readJson(paths.environment)) !== undefined,
      () => this.#isAlive(worker, paths),
    );
  }

  async #isAlive(worker: WorkerRecord, paths: WorkerPaths): Promise<boolean> {
    if ((await readJson(paths.order)) !== undefined) return this.#running.has(worker.name);
    const driver = await this.#driver(worker);
    const [info] = await driver.list(worker.name);
    return info?.state === 'running';
  }

  async handOver(worker: WorkerRecord, order: JobOrder): Promise<void> {
    const paths = this.#paths(worker);
    const { jobId, epoch } = order;
    if ((await readJson(paths.order)) !== undefined) return;
    const stop = new AbortController();
    this.#running.set(worker.name, stop);
    await writeJson(paths.order, { jobId, epoch, sealed: '' } satisfies OrderRecord);
    this.#carryOut(worker, order, stop.signal)
      .then((result) => writeJson(paths.result, result))
      .catch((error: unknown) => {
        this.#parts.log.log('error', 'a result could not be written', { job: jobId, error });
      })
      .finally(() => this.#running.delete(worker.name));
  }

  async #carryOut(worker: WorkerRecord, order: JobOrder, stop: AbortSignal): Promise<JobResult> {
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
      const driver = await this.#driver(worker);
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

  async destroy(worker: WorkerRecord): Promise<void> {
    this.#running.get(worker.name)?.abort();
    await (await this.#driver(worker)).destroy(worker.name);
  }

  workDir(): undefined {
    return undefined;
  }

  async sweep(known: ReadonlySet<string>): Promise<void> {
    for (const [name, entry] of Object.entries(this.#parts.vms)) {
      if (!(await entry.probe()).available) continue;
      const driver = await this.#open(name);
      for (const vm of await driver.list(ownedPrefix(this.#parts.fleet))) {
        if (!known.has(vm.name)) await driver.destroy(vm.name);
      }
    }
  }

  #driver({ spec }: WorkerRecord): Promise<VmDriver> {
    if (spec.kind !== 'vm') throw new Error(`worker of kind ${spec.kind} given to VMs`);
    return this.#open(spec.vm);
  }

  async #open(name: string): Promise<VmDriver> {
    let driver = this.#drivers.get(name);
    if (driver === undefined) {
      const entry = this.#parts.vms[name];
      if (entry === undefined) throw new Error(`this agent has no vm driver ${name}`);
      const dir = join(this.#parts.dataDir, 'vms', name);
      await mkdir(dir, { recursive: true, mode: 0o700 });
      driver = this.#drivers.get(name) ?? entry.open(dir);
      this.#drivers.set(name, driver);
    }
    return driver;
  }

  #paths(worker: WorkerRecord): WorkerPaths {
    return workerPaths(this.#parts.dirOf(worker));
  }
}
