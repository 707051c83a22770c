/**
 * A job as a CI system has it. It is wanted while it waits there, and any runner whose labels
 * include its own may take it: Pomona makes runners, the CI system gives them jobs.
 */
export interface CiJob {
  /** Never used again for another job, nor for another attempt at the same one. */
  readonly key: string;
  readonly state: 'queued' | 'running';
  /** Name of the runner that has it. */
  readonly runner?: string | undefined;
  readonly labels: readonly string[];
  /** Where it comes from: `owner/repository`, a folder, a builder. */
  readonly source: string;
  /** For people. */
  readonly title: string;
  readonly url?: string | undefined;
  readonly event: CiEvent;
  /** Wall-clock ms of the CI system at which it began to wait. */
  readonly queuedAt?: number | undefined;
  /** Only runners made for this group may take it: Buildbot's worker, for one. */
  readonly group?: string | undefined;
}

/** What set a job off, as far as it matters to whether its code is trusted. */
export interface CiEvent {
  /** Such as `push` or `pull_request`; `unknown` where the CI system does not say. */
  readonly name: string;
  /** Its code comes from a repository that others may write to. */
  readonly fork: boolean;
  /** Login of who set it off. */
  readonly author?: string | undefined;
  /** Somebody with the right to do so approved that it runs. */
  readonly approved?: boolean | undefined;
}

/** What became of a job that neither waits nor runs any more. */
export interface CiJobGone {
  readonly key: string;
  readonly state: 'gone';
  /** Name of the runner that had it, if it is known. */
  readonly runner?: string | undefined;
}

/** A runner as a CI system has it. */
export interface SeenRunner {
  readonly name: string;
  /** The CI system's own id for it. */
  readonly externalId?: string | undefined;
  readonly state: RunnerState;
  /** It has had a job, whatever it does now. */
  readonly hadJob?: boolean;
  /** What it runs, for people. */
  readonly job?: string | undefined;
}

export type RunnerState = 'offline' | 'idle' | 'busy';

/** Runners that are alike: what one of them may run, any other may. */
export interface RunnerClass {
  /** Equal for equal classes. */
  readonly id: string;
  readonly pool: string;
  /** What runners register with. */
  readonly labels: readonly string[];
  readonly trust: Trust;
  readonly priority: number;
  /** Who shares the fleet with whom. */
  readonly team: string;
  /** Classes of the same limit have together at most so many runners. */
  readonly limit: { readonly id: string; readonly max: number };
  /** Runners kept registered without a job. */
  readonly standby: number;
  readonly group?: string | undefined;
}

export type Trust = 'trusted' | 'untrusted';
