import type { BuildWish } from '../build.ts';
import type { Trust } from '../ci/ci-job.ts';
import type { HostFacts, HostState } from '../host.ts';
import type { HostTaskKind } from '../host-task.ts';
import type { Pool } from '../pool.ts';
import type { Rollout } from '../rollout.ts';
import type { Limits, WorkerGoal, WorkerState } from '../worker.ts';

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
  /** Jobs that wait, in any order. */
  readonly queued: readonly QueuedJob[];
  /** Jobs that have a worker. */
  readonly running: readonly RunningJob[];
  /** Teams that have rules; the others have a weight of 1 and no quota. */
  readonly teams: ReadonlyMap<string, TeamRules>;
  /** Those that hold now. */
  readonly reservations: readonly Reservation[];
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
  /** Which of its sessions was the last. */
  readonly session?: number;
  /** That it is out of touch was told. */
  readonly lostTold?: boolean;
  /** Absent until its agent said hello for the first time. */
  readonly facts: HostFacts | undefined;
  /** Draining and retiring hosts: when what still runs there is ended. */
  readonly drainBy?: number;
  /** Quarantined hosts: when they are tried again; absent: not by themselves. */
  readonly quarantinedUntil?: number;
  /** Why nothing new starts there although it is active, for people. */
  readonly closed?: string | undefined;
  /** Why its disk takes nothing new, whatever else keeps it closed. */
  readonly full?: string | undefined;
  /** What it is to do to itself, or does. */
  readonly task?: TaskStatus;
  /** Workers that failed there lately. */
  readonly failures?: number;
  /** Workers made there so far: of hosts that are alike, the one with fewer is taken. */
  readonly wear?: number;
}

export interface TaskStatus {
  readonly id: string;
  readonly kind: HostTaskKind;
  /** Its agent was told. */
  readonly given: boolean;
  /** When what still runs there is ended. */
  readonly drainBy?: number;
  /** When it failed, unless its end was told before. */
  readonly endBy?: number;
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
  /** When it was asked for. */
  readonly createdAt?: number;
  /** What it holds of its host; absent: not limited. */
  readonly limits?: Limits;
}

export interface QueuedJob {
  readonly id: string;
  readonly pool: string | undefined;
  readonly labels: readonly string[];
  /** Higher goes first; absent: 0. */
  readonly priority?: number;
  /** It goes before all others, whatever its team has. */
  readonly urgent?: boolean;
  /** Who shares the fleet with whom; absent: the team without a name. */
  readonly team?: string | undefined;
  /** Name of the only host where it may run. */
  readonly host?: string | undefined;
  /** Whose code it runs; absent where nobody said. */
  readonly trust?: Trust | undefined;
  /** Present when it builds a spec. */
  readonly build?: BuildWish | undefined;
}

export interface RunningJob {
  readonly id: string;
  readonly team: string;
  /** Of its worker. */
  readonly pool: string;
}

export interface TeamRules {
  /** Its share of the fleet beside the shares of those who wait too. */
  readonly weight: number;
  /** Jobs that it may have running at once; absent: any number. */
  readonly quota?: number;
}

/** Workers of a pool that only one team may use. */
export interface Reservation {
  readonly name: string;
  readonly pool: string;
  readonly team: string;
  readonly workers: number;
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
