import { mkdir } from 'node:fs/promises';
import type { JobOrder, JobResult } from '../domain/job.ts';
import type { DesiredWorker, ObservedWorker, WorkerState } from '../domain/worker.ts';
import { readJson, writeJson } from '../platform/atomic-file.ts';
import { Backoff } from '../platform/backoff.ts';
import type { Logger } from '../platform/logger.ts';
import { removeTree } from '../platform/tree.ts';
import { DirectoryWatch } from '../platform/watch.ts';
import { ControllerError, type ControllerClient } from './controller-client.ts';
import { decideWorker, type Goal } from './decide.ts';
import { Delivery, type DeliveryJob } from './delivery.ts';
import { reportOf, type Report } from './report.ts';
import type { Look, WorkerRuntime } from './runtime.ts';
import { wholeFrames } from './whole-frames.ts';
import { workerPaths, type WorkerPaths, type WorkerRecord } from './worker-dir.ts';

const POLL_MS = 2_000;
/** A source that cannot be had for this long ends the job's hand-over. */
const SOURCE_PATIENCE_MS = 120_000;

export interface WorkerParts {
  readonly runtime: WorkerRuntime;
  readonly client: ControllerClient;
  readonly log: Logger;
  readonly dir: string;
  /** Called whenever `observed` changed. */
  changed(worker: Worker): void;
}

/**
 * One worker of this host: compares again and again what there is with what is wanted, and does
 * the one thing that `decideWorker` says. All its lasting state is in its files.
 */
export class Worker {
  #record: WorkerRecord;
  readonly #parts: WorkerParts;
  readonly #paths: WorkerPaths;
  #goal: Goal = 'unknown';
  /** As the controller wants it. */
  #epoch = 0;
  #order: JobOrder | undefined;
  #observed: ObservedWorker;
  #watch: DirectoryWatch | undefined;
  #delivery: Delivery | undefined;
  /** Ends what is under way when it is not wanted any more. */
  #underWay = new AbortController();
  #broken: string | undefined;
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;
  #poke: (() => void) | undefined;
  #poked = false;

  constructor(record: WorkerRecord, parts: WorkerParts, first: DesiredWorker | undefined) {
    this.#record = record;
    this.#parts = parts;
    this.#paths = workerPaths(parts.dir);
    this.#observed = { id: record.id, epoch: record.epoch, state: 'requested' };
    if (first !== undefined) this.want(first);
    this.#done = this.#run();
  }

  get record(): WorkerRecord {
    return this.#record;
  }

  get observed(): ObservedWorker {
    return this.#observed;
  }

  /** It is gone, and nobody wants to hear of it any more once the controller knows. */
  get isGone(): boolean {
    return this.#observed.state === 'destroyed';
  }

  /**
   * Has it go when it is too old, and nobody says otherwise: for when no controller answers. One that has a
   * job goes on, and one that was given a job since is not touched.
   */
  endIfOld(now: number): void {
    const { spec, since = now } = this.record;
    const idle =
      this.#observed.state === 'ready' && this.#goal !== 'run' && this.#goal !== 'cancel';
    if (!idle || now - since < (spec.hardAgeMs ?? Infinity)) return;
    this.#parts.log.log('warn', 'a worker reached its hard age while no controller answered', {
      worker: this.record.name,
    });
    this.want(undefined);
  }

  /** What the controller wants of it; undefined: not to exist. */
  want(desired: DesiredWorker | undefined): void {
    this.#goal = desired?.goal ?? 'destroyed';
    this.#epoch = desired?.epoch ?? 0;
    if (desired?.order !== undefined) this.#order = desired.order;
    if (this.#isOver) this.#underWay.abort();
    this.#wake();
  }

  /** Stops looking after it and leaves it as it is. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#underWay.abort();
    this.#delivery?.close();
    this.#wake();
    await this.#done;
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Nothing that takes long is worth beginning or going on with. */
  get #isOver(): boolean {
    return this.#closed || this.#goal === 'destroyed' || this.#goal === 'cancel';
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(100, 10_000);
    while (!this.#closed && !this.isGone) {
      this.#poked = false;
      try {
        const acted = await this.#step();
        backoff.succeeded();
        if (!acted) await this.#nextChange();
      } catch (error) {
        this.#parts.log.log('warn', 'a step of a worker failed; it is tried again', {
          worker: this.record.name,
          error,
        });
        await backoff.wait(this.#closing.signal).catch(() => undefined);
      }
    }
    this.#watch?.close();
    this.#delivery?.close();
  }

  /** Does one thing; false when there was nothing to do. */
  async #step(): Promise<boolean> {
    const look = await this.#look();
    if (this.#epoch > this.record.epoch) {
      await this.#renew(look);
      return true;
    }
    this.#report(look);
    const action = decideWorker(look.state, this.#goal);
    switch (action) {
      case 'wait':
        if (look.state === 'running') this.#deliveryOf(look);
        return false;
      case 'make':
        await this.#make();
        return true;
      case 'give-up':
        return this.#giveUp(look);
      case 'hand-over':
        return this.#handOver();
      case 'cancel':
        this.#deliveryOf(look);
        if ((await readJson(this.#paths.cancel)) !== undefined) return false;
        await this.#parts.runtime.cancel(this.record);
        return true;
      case 'deliver':
        await this.#deliver(look);
        return !this.#closed;
      case 'destroy':
        await this.#destroy();
        return true;
      case 'forget':
        await removeTree(this.#paths.dir);
        this.#observe('destroyed');
        return true;
    }
  }

  async #look(): Promise<Look> {
    if (this.#broken !== undefined) return { state: 'broken', reason: this.#broken };
    if (this.record.renewing === true) return { state: 'unfinished' };
    const look = await this.#parts.runtime.look(this.record);
    if (look.state !== 'broken' || look.jobId === undefined) return look;
    // A job that lost its keeper has a result too: that it is lost. Its log is delivered.
    const result: JobResult = {
      outcome: 'lost',
      reason: look.reason ?? 'its keeper died',
      finishedAt: Date.now(),
      logBytes: await wholeFrames(this.#paths.log),
    };
    await writeJson(this.#paths.result, result, { flush: true });
    return { ...look, state: 'ended', result };
  }

  #report(look: Look): void {
    const report = reportOf(look);
    if (report === undefined) return;
    const { state, ...more } = report;
    this.#observe(state, more);
  }

  #observe(state: WorkerState, more: Omit<Report, 'state'> = {}): void {
    const { id, epoch } = this.record;
    const next: ObservedWorker = { id, epoch, state, ...more };
    if (JSON.stringify(next) === JSON.stringify(this.#observed)) return;
    this.#observed = next;
    this.#parts.changed(this);
  }

  async #make(): Promise<void> {
    const signal = this.#begin();
    try {
      await mkdir(this.#paths.dir, { recursive: true, mode: 0o711 });
      await writeJson(this.#paths.worker, this.record);
      await this.#parts.runtime.make(this.record, (state) => this.#observe(state), signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#broken = (error as Error).message;
      this.#parts.log.log('warn', 'a worker could not be made', {
        worker: this.record.name,
        error,
      });
    }
  }

  /** The next epoch begins: it is to take another job. */
  async #renew(look: Look): Promise<void> {
    this.#record = { ...this.record, epoch: this.#epoch, renewing: true };
    await writeJson(this.#paths.worker, this.#record, { flush: true });
    this.#delivery?.close();
    this.#delivery = undefined;
    this.#order = undefined;
    this.#observe('booting');
    if (look.state !== 'delivered') {
      this.#broken ??= 'it could not be used again';
      return;
    }
    const signal = this.#begin();
    try {
      await this.#parts.runtime.renew(this.#record, signal);
      const { renewing: _, ...record } = this.#record;
      await writeJson(this.#paths.worker, record, { flush: true });
      this.#record = record;
    } catch (error) {
      if (signal.aborted) return;
      this.#broken = `it could not be used again: ${(error as Error).message}`;
    }
  }

  #begin(): AbortSignal {
    this.#underWay = new AbortController();
    if (this.#isOver) this.#underWay.abort();
    return this.#underWay.signal;
  }

  #giveUp(look: Look): boolean {
    if (this.#broken !== undefined) return false;
    this.#broken = {
      absent: 'it is not there any more',
      ready: 'cancelled before its job started',
      unfinished: 'the agent restarted while it was being made',
    }[look.state as 'absent' | 'ready' | 'unfinished'];
    return true;
  }

  async #handOver(): Promise<boolean> {
    const order = this.#order;
    if (order === undefined) return false;
    const job = { jobId: order.jobId, jobEpoch: order.epoch };
    const { source } = order.payload;
    if (source !== undefined && !(await this.#fetchSource(job, source))) return true;
    await writeJson(this.#paths.artifacts, order.payload.artifacts);
    await this.#parts.runtime.handOver(this.record, order);
    this.#order = undefined;
    this.#deliveryOf(job);
    return true;
  }

  /** False when it was given up: it is not wanted any more, or cannot be had. */
  async #fetchSource(job: DeliveryJob, digest: string): Promise<boolean> {
    const wanted = this.#begin();
    const signal = AbortSignal.any([wanted, AbortSignal.timeout(SOURCE_PATIENCE_MS)]);
    const backoff = new Backoff(100, 5_000);
    let reason = 'the controller did not answer';
    for (;;) {
      try {
        await this.#parts.client.getSource(job, digest, this.#paths.source, signal);
        return true;
      } catch (error) {
        if (wanted.aborted) return false;
        if (!signal.aborted) reason = (error as Error).message;
        if (signal.aborted || (error instanceof ControllerError && !error.retryable)) {
          this.#broken = `the job's source could not be brought: ${reason}`;
          return false;
        }
        await backoff.wait(signal).catch(() => undefined);
      }
    }
  }

  #deliveryOf(job: { jobId?: string; jobEpoch?: number }): Delivery {
    this.#delivery ??= new Delivery(
      this.#parts.client,
      this.#paths,
      { jobId: job.jobId ?? '', jobEpoch: job.jobEpoch ?? 0 },
      this.#parts.log,
    );
    return this.#delivery;
  }

  async #deliver(look: Look): Promise<void> {
    if (look.result === undefined) return;
    const globs = (await readJson<string[]>(this.#paths.artifacts)) ?? [];
    const files = await this.#parts.runtime.workFiles(this.record, globs);
    await this.#deliveryOf(look).finish(look.result, files, globs);
    const stale = (await readJson(this.#paths.delivered)) === undefined;
    // Not wanted any more: the controller will say so.
    if (stale && !this.#closed) await this.#nextChange();
  }

  async #destroy(): Promise<void> {
    this.#delivery?.close();
    this.#watch?.close();
    this.#watch = undefined;
    await this.#parts.runtime.destroy(this.record);
    await removeTree(this.#paths.dir);
    this.#observe('destroyed');
  }

  #wake(): void {
    this.#poked = true;
    this.#watch?.poke();
    this.#poke?.();
  }

  async #nextChange(): Promise<void> {
    if (this.#poked || this.#closed) return;
    this.#watch ??= new DirectoryWatch(this.#paths.dir, POLL_MS, (name) => name.endsWith('.json'));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#poke = resolve;
    await Promise.race([promise, this.#watch.next()]);
    this.#poke = undefined;
  }
}
