import type { ConsoleKind } from '../domain/console.ts';
import type { JobOrder, JobResult } from '../domain/job.ts';
import type { WorkerState } from '../domain/worker.ts';
import type { WayIn } from './consoles/way-in.ts';
import type { LocalState } from './decide.ts';
import type { Leftover } from './leftovers.ts';
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
  /**
   * Makes one whose job was delivered ready for another: what the job left in its home stays, but for its
   * work directory.
   */
  renew(worker: WorkerRecord, signal: AbortSignal): Promise<void>;
  look(worker: WorkerRecord): Promise<Look>;
  /** Gives it its job. `source.tgz` is in its directory when the job has a source. */
  handOver(worker: WorkerRecord, order: JobOrder): Promise<void>;
  /** Asks for the end of its job. Idempotent. */
  cancel(worker: WorkerRecord): Promise<void>;
  /** How people look into one that has a job, or is kept after it. Throws when there is no such way. */
  wayIn(worker: WorkerRecord, kind: ConsoleKind): Promise<WayIn>;
  /** Removes all of it but its directory. Idempotent. */
  destroy(worker: WorkerRecord): Promise<void>;
  /** Where the job's artifacts are, once it ended; undefined where there are none. */
  workFiles(worker: WorkerRecord, globs: readonly string[]): Promise<WorkFiles | undefined>;
  /** What carries an owned name and belongs to no worker. `isKnown`: whether a worker has that name now. */
  leftovers(isKnown: (name: string) => boolean): Promise<Leftover[]>;
}

/** The files that a job left. */
export interface WorkFiles {
  /** Directory of this host; what the artifact globs match of it is brought back. */
  readonly dir: string;
  /** What could not be had, for people. */
  readonly problem?: string;
}

/** Directory of a worker's files. */
export type DirOf = (worker: Pick<WorkerRecord, 'name'>) => string;
