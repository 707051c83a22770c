import type { Window } from './window.ts';
import type { Limits, VolumeUse } from './worker.ts';

/** Workers that are alike. Resolved from the configuration or from `pomona pool apply`. */
export interface Pool {
  readonly name: string;
  /** Labels jobs may ask for; a job fits when each of its labels is here. */
  readonly labels: readonly string[];
  /** Labels a host must have to carry this pool's workers. */
  readonly hostLabels: readonly string[];
  /** Image name; `empty` is built in. */
  readonly image: string;
  /** `build`: its workers build specs, each with the engine and the store of its host. */
  readonly kind: 'sandbox' | 'vm' | 'build';
  /** Driver names; absent: the best available on the host. */
  readonly sandbox?: string;
  readonly store?: string;
  readonly vm?: string;
  readonly guest: 'macos' | 'linux';
  /** Who jobs run as in a VM; absent: the driver's default. */
  readonly guestUser?: string;
  /** Booted workers kept waiting for a job. */
  readonly ready: number;
  /** Workers at most, over all hosts. */
  readonly max: number;
  /** Other numbers at some times; of those that are open the last counts. */
  readonly schedule?: readonly PoolSchedule[];
  /** `on`: as many more are kept ready as the history says will be needed. */
  readonly forecast?: 'on';
  /** Where its workers go: to the host with the most room (the default), or the least. */
  readonly placement?: 'spread' | 'pack';
  /** How long a ready worker that nobody needs is kept; absent: `SURPLUS_IDLE_MS`. */
  readonly idleMs?: number;
  /** An idle worker of this age is replaced once another is ready in its place. */
  readonly softAgeMs?: number;
  /** No worker is idle at this age; on its host it ends itself when no controller answers. */
  readonly hardAgeMs?: number;
  /** Jobs that a worker runs one after the other; absent: one, and the next job finds a fresh one. */
  readonly jobsPerWorker?: number;
  readonly limits: Limits;
  /** Whose jobs it runs, first trusted ones; `untrusted`: strangers', whose volumes nobody else sees. */
  readonly trust?: 'trusted' | 'untrusted';
  readonly volumes?: readonly VolumeUse[];
  /** How often a job that was lost after hand-over may run again, unless the job says otherwise. */
  readonly retries: number;
  /** Time-out of jobs that name none, and the longest a job may ask for. */
  readonly defaultTimeoutMs: number;
  readonly maxTimeoutMs: number;
}

export interface PoolSchedule {
  readonly when: Window;
  readonly ready?: number;
  readonly max?: number;
}

/** The image that is always there: nothing in home, nothing in prefix. */
export const EMPTY_IMAGE = 'empty';
