import type { JobOrder, JobOutcome, JobResult } from './job.ts';

/**
 * The life of a worker. Forward only:
 *
 *   requested -> fetching -> cloning -> booting -> ready -> running -> finishing -> destroyed
 *
 * and from each of them but `destroyed` also to `failed`, which then ends as `destroyed`. A worker that runs
 * another job begins anew, as `requested` in its next epoch.
 *
 * | state     | invariant                                                                       |
 * |-----------|---------------------------------------------------------------------------------|
 * | requested | recorded by the controller; nothing exists on the host                          |
 * | fetching  | the image is being brought to the host; the worker owns nothing yet             |
 * | cloning   | a clone of the image may exist, in whole or in part                             |
 * | booting   | the clone is complete; the environment is starting                              |
 * | ready     | the environment waits for a job; no job has touched it                          |
 * | running   | the job was handed over; from here on it may have had side effects              |
 * | finishing | the command ended, nothing of it runs; log and artifacts are being delivered    |
 * | failed    | `reason` says why; nothing more will be delivered                               |
 * | destroyed | no process, file, mount, user, cgroup or directory of it is left on the host    |
 */
export const WORKER_STATES = [
  'requested',
  'fetching',
  'cloning',
  'booting',
  'ready',
  'running',
  'finishing',
  'failed',
  'destroyed',
] as const;

export type WorkerState = (typeof WORKER_STATES)[number];

/** Limits of one worker. Absent means not limited. */
export interface Limits {
  /** Processor cores, may be a fraction. */
  readonly cpus?: number;
  readonly memoryBytes?: number;
  readonly openFiles?: number;
  /** Processes and threads. */
  readonly processes?: number;
  /** Bytes of log kept; what a job prints beyond is dropped with a note in the log. */
  readonly logBytes?: number;
}

/** Log kept of a job when its pool sets no limit: 4 GiB. */
export const DEFAULT_LOG_BYTES = 4 * 2 ** 30;

/** A named image as pinned by the digest of its content (`sha256:<hex>`). */
export interface ImageRef {
  readonly name: string;
  readonly digest: string;
}

/** How to make one worker. Immutable for the life of the worker. */
export type WorkerSpec = SandboxWorkerSpec | VmWorkerSpec | BuildWorkerSpec;

interface CommonSpec {
  readonly pool: string;
  readonly image: ImageRef;
  readonly limits: Limits;
  /** Absent: trusted. */
  readonly trust?: 'untrusted';
  /** Jobs it runs, one after the other; absent: one. */
  readonly jobs?: number;
  /** While no controller answers it ends itself at this age, if it has no job; absent: never. */
  readonly hardAgeMs?: number;
  /** Absent: none. */
  readonly volumes?: readonly VolumeUse[];
}

/** What outlives workers: a volume of the host that workers of a pool have one after the other. */
export interface VolumeUse {
  readonly name: string;
  /** Where it is in the worker: relative to the home, or absolute. */
  readonly path: string;
  /**
   * `copies`: each worker has a copy-on-write copy, which replaces the volume when its job succeeded;
   * `exclusive`: one worker at a time has the volume itself.
   */
  readonly mode: 'copies' | 'exclusive';
  /** Of the disk, where it is one. */
  readonly sizeBytes: number;
}

export interface SandboxWorkerSpec extends CommonSpec {
  readonly kind: 'sandbox';
  /** Driver names of the families `sandbox` and `store`. */
  readonly sandbox: string;
  readonly store: string;
}

export interface VmWorkerSpec extends CommonSpec {
  readonly kind: 'vm';
  /** Driver name of the family `vm`. */
  readonly vm: string;
  /** What kind of guest it is: macOS guests take one of the host's macOS-VM slots. */
  readonly guest: 'macos' | 'linux';
  /** Who jobs run as in it; absent: the driver's default. */
  readonly user?: string;
}

export interface BuildWorkerSpec extends CommonSpec {
  readonly kind: 'build';
  /** Driver name of the store that its host builds in. */
  readonly store: string;
}

/** What the controller wants of one worker. */
export type WorkerGoal = 'ready' | 'run' | 'cancel' | 'destroyed';

/** One entry of a host's desired state, as the agent receives it (level-triggered, whole list). */
export interface DesiredWorker {
  readonly id: string;
  /** Name of everything made for it on the host: `pomona-<fleet>-<id>`. */
  readonly name: string;
  /** Lease epoch, from 1, one for each job: reports that carry another are refused. */
  readonly epoch: number;
  readonly goal: WorkerGoal;
  readonly spec: WorkerSpec;
  /** The job handed over. Present with goal `run`, until the worker was seen running it. */
  readonly order?: JobOrder;
}

/** What an agent says of one of its workers. */
export interface ObservedWorker {
  readonly id: string;
  readonly epoch: number;
  readonly state: WorkerState;
  /** Why it failed or what it waits for, for people. */
  readonly reason?: string;
  /** The job it runs or ran, from `running` on. */
  readonly jobId?: string;
  /** Wall-clock milliseconds of the host at which the command started. */
  readonly startedAt?: number;
  /** Present once the command ended AND its whole log and all artifacts reached the controller. */
  readonly result?: JobResult;
}

/**
 * Whether a worker waits for another job once its job has ended so: each job of a worker is one epoch of it.
 * What did not end by itself may have left anything behind.
 */
export function servesAgain({ jobs = 1 }: WorkerSpec, epoch: number, outcome: JobOutcome): boolean {
  return epoch < jobs && (outcome === 'succeeded' || outcome === 'failed');
}

/** True when a worker in this state occupies capacity on its host. */
export function occupiesHost(state: WorkerState): boolean {
  return state !== 'destroyed';
}

/** True once a job was handed over, so that running it again could repeat side effects. */
export function mayHaveRun(state: WorkerState): boolean {
  return state === 'running' || state === 'finishing';
}
