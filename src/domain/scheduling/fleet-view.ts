import type { BuildWish } from '../build.ts';
import type { HostFacts, HostState } from '../host.ts';
import type { Pool } from '../pool.ts';
import type { Rollout } from '../rollout.ts';
import type { WorkerGoal, WorkerState } from '../worker.ts';

/** All that the scheduler looks at: one consistent reading of the fleet. */
export interface FleetView {
  readonly now: number;
  /** As they are to be now. */
  readonly pools: readonly Pool[];
  /** By pool; those that are done or went back among them. */
  readonly rollouts: ReadonlyMap<string, Rollout>;
  readonly hosts: readonly HostStatus[];
  /** Workers that are not destroyed. */
  readonly workers: readonly WorkerStatus[];
  /** Waiting jobs in the order in which they go: the first of them, maybe not all. */
  readonly queued: readonly QueuedJob[];
  /** Pools that failed to make workers on a host lately, by `backoffKey`. */
  readonly backoffs: ReadonlyMap<string, Backoff>;
  /** How long a host may be out of touch before its workers are given up. */
  readonly hostLostAfterMs: number;
}

export interface HostStatus {
  readonly id: string;
  readonly name: string;
  readonly state: HostState;
  /** It has a session now. */
  readonly online: boolean;
  /** Time without a session, in ms by the controller's monotonic clock; 0 while online. */
  readonly silentForMs: number;
  /** Absent until its agent said hello for the first time. */
  readonly facts: HostFacts | undefined;
}

export interface WorkerStatus {
  readonly id: string;
  readonly pool: string;
  readonly hostId: string;
  readonly state: WorkerState;
  readonly goal: WorkerGoal;
  readonly jobId: string | undefined;
  /** `specKey` of what it was made from. */
  readonly specKey: string;
  /** It takes one of the host's macOS-VM slots. */
  readonly macosVm: boolean;
  /** When it became ready. */
  readonly readyAt: number | undefined;
}

export interface QueuedJob {
  readonly id: string;
  readonly pool: string | undefined;
  readonly labels: readonly string[];
  /** Present when it builds a spec. */
  readonly build?: BuildWish | undefined;
}

export interface Backoff {
  /** No new worker before this time. */
  readonly until: number;
  readonly failures: number;
  readonly reason: string;
}

/** A new image that fails there is no reason to make none from the old one. */
export function backoffKey(pool: string, image: string, hostId: string): string {
  return `${pool}\n${image}\n${hostId}`;
}
