/**
 * What the agent of a host does to the host itself, when the controller asks for it.
 *
 * | kind      | what it does                                                               |
 * |-----------|----------------------------------------------------------------------------|
 * | restart   | the agent ends and starts anew; jobs go on meanwhile                       |
 * | clean     | removes what carries an owned name and belongs to no worker                |
 * | reboot    | runs the host's own command for it                                         |
 * | reimage   | runs the host's own command for it; the host comes back as a new one would |
 * | update    | runs the host's own command for another version of the agent, and restarts |
 * | configure | takes other settings, and restarts                                         |
 */
export const HOST_TASK_KINDS = [
  'restart',
  'clean',
  'reboot',
  'reimage',
  'update',
  'configure',
] as const;
export type HostTaskKind = (typeof HOST_TASK_KINDS)[number];

/** As an agent is told it. */
export interface HostTask {
  readonly id: string;
  readonly kind: HostTaskKind;
  /** `update`: the version; `configure`: `HostSettings` as JSON. */
  readonly value?: string;
}

/** As its agent says how it goes. */
export interface ObservedTask {
  readonly id: string;
  readonly state: 'running' | 'done' | 'failed';
  /** Why it failed, for people. */
  readonly detail?: string;
}

/** Settings of a host that take the place of its agent's options. */
export interface HostSettings {
  readonly labels?: readonly string[];
  /** Workers at once. */
  readonly workers?: number;
  /** macOS guests at once. */
  readonly macosVms?: number;
}

/** What ends workers: the host is emptied first. */
export const NEEDS_EMPTY: ReadonlySet<HostTaskKind> = new Set<HostTaskKind>([
  'reboot',
  'reimage',
  'update',
  'configure',
]);

const MINUTE_MS = 60_000;

/** After so long without an answer it failed. */
export const TASK_TIMEOUTS_MS: Readonly<Record<HostTaskKind, number>> = {
  restart: 5 * MINUTE_MS,
  clean: 15 * MINUTE_MS,
  reboot: 20 * MINUTE_MS,
  reimage: 180 * MINUTE_MS,
  update: 20 * MINUTE_MS,
  configure: 5 * MINUTE_MS,
};

/** What may mend a host that is quarantined, the mildest first. */
export const REPAIRS = ['restart', 'clean', 'reboot', 'reimage'] as const;

/** The repairs that a host can do, in the order in which they are tried. */
export function repairsOf(can: readonly HostTaskKind[]): HostTaskKind[] {
  return REPAIRS.filter((kind) => can.includes(kind));
}

/** What a host is told to be about to do. */
export const TASK_WORDS: Readonly<Record<HostTaskKind, string>> = {
  restart: 'restart its agent',
  clean: 'clean up',
  reboot: 'reboot',
  reimage: 'be installed anew',
  update: 'update its agent',
  configure: 'take new settings',
};

/** Versions that may be rolled out: they are given to a line of shell. */
export const VERSION_PATTERN = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]{1,64})?$/;
