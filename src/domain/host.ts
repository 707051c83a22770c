import type { HostBuilds } from './build.ts';
import type { HostConsoles } from './console.ts';
import type { HostSettings, HostTaskKind } from './host-task.ts';
import type { ImageRef } from './worker.ts';

/** How well a sandbox keeps a job from the rest of the host, best first. */
export const ISOLATION_LEVELS = ['vm', 'namespaces', 'user', 'none'] as const;
export type Isolation = (typeof ISOLATION_LEVELS)[number];

/** What a driver on a host says of itself. */
export interface DriverReport {
  readonly name: string;
  readonly available: boolean;
  /** Why it is not available, and what to do about it; or what it is limited to. */
  readonly detail: string;
  /** Higher is better; the best available is taken when a pool names none. */
  readonly rank: number;
  /** For sandboxes and VMs. */
  readonly isolation?: Isolation;
}

/** What a host can do, as its agent found out at start. */
export interface HostFacts {
  readonly os: 'macos' | 'linux';
  readonly osVersion: string;
  readonly arch: 'arm64' | 'x64';
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Labels from the agent's configuration, besides `os`, `arch` and `os-<major version>`. */
  readonly labels: readonly string[];
  readonly capacity: HostCapacity;
  readonly sandboxes: readonly DriverReport[];
  readonly stores: readonly DriverReport[];
  readonly vms: readonly DriverReport[];
  readonly images: readonly ImageRef[];
  /** Bytes of their contents, by digest. */
  readonly imageBytes?: Readonly<Record<string, number>>;
  /** Absent: it runs no macOS guests. */
  readonly macosSlots?: MacosSlots;
  /** `HOST:PORT` at which it gives chunks of its images to other hosts. */
  readonly peer?: string;
  /** Images that it should have and does not, or has of older content. */
  readonly imageFetches?: readonly ImageFetch[];
  /** Absent: it builds nothing. */
  readonly builds?: HostBuilds;
  /** What it can do to itself when it is asked. */
  readonly tasks?: readonly HostTaskKind[];
  /** It is rented: when its time is over, by its own clock. */
  readonly endsAt?: number;
  /** Absent: nobody can look into its workers. */
  readonly consoles?: HostConsoles;
  /** Those that were rolled out to it. */
  readonly settings?: HostSettings;
}

/** What takes a Mac's two slots for macOS guests, besides our own. */
export interface MacosSlots {
  /** Guests that others run. */
  readonly foreign: number;
  /** The system refused a guest although it runs fewer than it may: only a reboot helps. */
  readonly leaked: boolean;
}

/** An image on its way to a host. */
export interface ImageFetch {
  readonly name: string;
  /** How far it is, or why it failed, for people. */
  readonly detail: string;
  /** Share of its bytes that are there, from 0 to 1; absent: it is not being brought. */
  readonly share?: number;
}

/** How many workers a host takes at once. */
export interface HostCapacity {
  /** Workers of any kind. */
  readonly workers: number;
  /** macOS guests: at most two per Mac (Virtualization.framework and the licence). */
  readonly macosVms: number;
}

export const MACOS_VMS_PER_HOST = 2;

/** Nothing new starts on a host with less of its disk free. */
export const DISK_LOW_BYTES = 2 ** 30;

/**
 * | state       | what it means                                                                     |
 * |-------------|-----------------------------------------------------------------------------------|
 * | active      | it takes jobs                                                                     |
 * | cordoned    | nothing new starts; idle workers stay                                             |
 * | draining    | nothing new starts, idle workers go; it stays when it is empty                    |
 * | retiring    | the same, and it is forgotten when it is empty                                    |
 * | quarantined | the same, because too much failed there; for a while, or until somebody looks     |
 */
export const HOST_STATES = ['active', 'cordoned', 'draining', 'retiring', 'quarantined'] as const;
export type HostState = (typeof HOST_STATES)[number];
