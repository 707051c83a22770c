import type { JobOrder, JobResult } from '../domain/job.ts';
import type { WorkerState } from '../domain/worker.ts';
import type { LocalState } from './decide.ts';
import type { WorkerRecord } from './worker-dir.ts';

/** A look at a worker: its state and, from `running` on, its job. */
export interface Look {
  readonly state: LocalState;
  readonly jobId?: string;
  readonly jobEpoch?: number;
  readonly startedAt?: number;
  /** From `ended` on. */
  readonly result?: JobResult;
  /** Why it is broken. */
  readonly reason?: string;
}

/**
 * A kind of worker on this host. Workers are known by their records alone; each call may be
 * repeated after a crash. The caller makes one call at a time for a worker.
 */
export interface WorkerRuntime {
  /** Makes it ready for a job. `progress` is told the states on the way. */
  make(
    worker: WorkerRecord,
    progress: (state: WorkerState) => void,
    signal: AbortSignal,
  ): Promise<void>;
  look(worker: WorkerRecord): Promise<Look>;
  /** Gives it its job. `source.tgz` is in its directory when the job has a source. */
  handOver(worker: WorkerRecord, order: JobOrder): Promise<void>;
  /** Asks for the end of its job. Idempotent. */
  cancel(worker: WorkerRecord): Promise<void>;
  /** Removes all of it but its directory. Idempotent. */
  destroy(worker: WorkerRecord): Promise<void>;
  /** Directory whose files the job's artifact globs match, once the job ended. */
  workDir(worker: WorkerRecord): string | undefined;
  /** Removes what carries an owned name and belongs to none of these workers. */
  sweep(known: ReadonlySet<string>): Promise<void>;
}

/** Directory of a worker's files. */
export type DirOf = (worker: Pick<WorkerRecord, 'name'>) => string;
