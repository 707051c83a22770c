import type { CiJob, CiJobGone, RunnerClass, SeenRunner } from '../../domain/ci/ci-job.ts';
import type { JobOutcome } from '../../domain/job.ts';
import type { Found } from '../../domain/ci/runner-phase.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';

/**
 * A CI system that wants jobs run. A driver says what is wanted, makes the payload of one worker
 * and cleans up after it. It decides nothing and keeps nothing that matters: after a restart
 * `look` tells all again. Calls may be repeated; each throws `CiError` when the CI system cannot
 * be asked, and then nothing is known: the caller changes nothing.
 *
 * The caller promises: a runner's name is never used twice; `prepare` is called once for a name
 * and what it made is given to one worker at most; `remove` is called for every name that was
 * prepared, also when `prepare` failed.
 */
export interface CiDriver {
  /** For people: where this is. Holds no credential. */
  readonly location: string;
  /**
   * Its looks are taken at one moment, so what is not in one is gone; and its keys may come again.
   * Else a look may miss what moves while it is read page by page, and keys are never used twice.
   */
  readonly exact: boolean;
  /** `many`: its runners have one task after the other, and idle in between. Absent: one job each. */
  readonly serves?: 'many';
  /** The end of a runner is the end of its job: it was made for the one that its group names. */
  readonly runsJobs?: boolean;
  /** Labels that every job may have and no pool needs, such as `self-hosted`. */
  readonly impliedLabels: readonly string[];
  /** What waits and runs, and which runners of ours there are. Reads only. */
  look(signal: AbortSignal): Promise<CiView>;
  /**
   * Tells news as they happen, until `signal` aborts. It may end or throw at any time and lose any
   * of them: the caller starts it again, and looks.
   */
  follow?(tell: (news: CiNews) => void, signal: AbortSignal): Promise<void>;
  /** Reads a webhook's delivery. Throws `CiError` `unauthorized` when its signature is wrong. */
  receive?(delivery: Delivery): Promise<Received>;
  /** Makes the credential of one runner and says what its worker is to execute. */
  prepare(order: RunnerOrder, signal: AbortSignal): Promise<PreparedRunner>;
  /** Asks for one runner alone. */
  find(runner: RunnerName, signal: AbortSignal): Promise<Found>;
  /**
   * Has the CI system forget a runner. `busy`: it has a job and was left alone, unless `force`.
   * What is not there counts as removed.
   */
  remove(
    runner: RunnerName,
    force: boolean,
    signal: AbortSignal,
    ending?: RunnerEnd,
  ): Promise<'removed' | 'busy'>;
  /** For CI systems whose runners would take a second job: has this one take no more. */
  takeNoMore?(runner: RunnerName, signal: AbortSignal): Promise<void>;
  /**
   * What an exit code of the runner means beyond "it ended": `served`, it had a job; `deprecated`,
   * it is no use to start another.
   */
  meaningOf?(exitCode: number): RunnerEnding | undefined;
  /** Tries every permission that it needs. One line each; does not throw. */
  check(signal: AbortSignal): Promise<CheckLine[]>;
  /** What the CI system still lets us ask, where it says so. */
  budget?(): Budget | undefined;
}

export interface CiView {
  /** Sources this listing is complete for; a job of them that is not in it is gone. */
  readonly complete: readonly string[] | 'all';
  readonly jobs: readonly CiJob[];
  /** Those whose names begin as ours do, all of them. */
  readonly runners: readonly SeenRunner[];
}

/** A part of what there is: what it does not name did not change. */
export interface CiNews {
  readonly jobs?: readonly (CiJob | CiJobGone)[];
  readonly runners?: readonly SeenRunner[];
  /** All that waits, where looks are exact. */
  readonly queue?: readonly CiJob[];
  /** Something happened that only a look can tell. */
  readonly look?: boolean;
}

export interface Delivery {
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

export interface Received {
  /** Equal for repetitions of one delivery. */
  readonly id: string;
  /** What it was, for people. */
  readonly what: string;
  /** It is told once: its news are taken in before the delivery is answered. */
  readonly once?: boolean;
  /** What it says; it may ask the CI system for more. */
  news(signal: AbortSignal): Promise<CiNews>;
}

/** How the job of ours ended that was a runner. */
export interface RunnerEnd {
  readonly outcome: JobOutcome;
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
  /** The group of its class. */
  readonly group?: string | undefined;
  /** The end of its log. */
  tail(): Promise<string>;
}

export type RunnerEnding = 'served' | 'deprecated';

export interface RunnerName {
  readonly name: string;
  /** As `prepare` or a listing gave it. */
  readonly externalId?: string | undefined;
}

export interface RunnerOrder {
  readonly name: string;
  readonly runnerClass: RunnerClass;
  readonly worker: {
    readonly id: string;
    readonly hostName: string;
    readonly os: 'macos' | 'linux';
    readonly osVersion: string;
    readonly arch: 'arm64' | 'x64';
  };
}

/** What a worker executes to be a runner. */
export interface PreparedRunner {
  readonly externalId?: string | undefined;
  /** argv. Never holds a secret. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Environment variables that are sealed at rest and masked in the log. */
  readonly secretEnv: Readonly<Record<string, string>>;
  /** Globs of files to bring back, and the time that it may take: where the job says so. */
  readonly artifacts?: readonly string[];
  readonly timeoutMs?: number;
  /** Digest of a gzipped tar for its working directory, as `keepSource` gave it. */
  readonly source?: string | undefined;
}

/** A runner whose worker executes it now. */
export interface RunningRunner {
  readonly name: string;
  /** The end of what it printed. */
  tail(): Promise<string>;
}

/** A file that is fetched once, checked and kept. */
export interface SourceFile {
  readonly url: string;
  readonly sha256: string;
}

export interface CheckLine {
  readonly what: string;
  readonly ok: boolean;
  /** What was found; and when it is not ok, what to do. */
  readonly detail: string;
}

export interface Budget {
  readonly remaining: number;
  readonly limit: number;
  /** Wall-clock ms. */
  readonly resetAt: number;
}

/** One entry of the family's map. */
export interface CiDriverEntry<Settings> {
  readonly name: string;
  /** Asks nothing of the CI system yet. */
  open(settings: Settings, tools: CiTools): CiDriver;
}

/** What every driver is given. */
export interface CiTools {
  readonly clock: Clock;
  readonly log: Logger;
  /** What the names of all that is ours begin with. */
  readonly owned: string;
  /** Runners of this integration that run now, for CI systems that cannot be asked. */
  running(): Promise<readonly RunningRunner[]>;
  /** Sees to it that workers can be given a file, and says its digest. Throws `CiError`. */
  keepSource(file: SourceFile, signal: AbortSignal): Promise<string>;
  /** As `keepSource`, for a file whose digest nobody knows before. */
  fetchSource(
    file: { readonly url: string; readonly headers: Readonly<Record<string, string>> },
    signal: AbortSignal,
  ): Promise<string>;
  /** The value of a secret of the fleet. Throws `CiError` `no_secret`. */
  secret(name: string): Promise<string>;
}

/**
 * | code          | thrown when                                                          | again? |
 * |---------------|----------------------------------------------------------------------|--------|
 * | no_secret     | a secret that the configuration names was never set                   | later  |
 * | unauthorized  | the credential, or a delivery's signature, is not accepted            | later  |
 * | forbidden     | the credential lacks a permission; the message says which             | later  |
 * | not_found     | what the configuration names is not there                             | later  |
 * | conflict      | a name is taken                                                       | no     |
 * | refused       | the CI system understood and refused                                  | no     |
 * | rate_limited  | the budget is spent; `retryAt` says until when                        | later  |
 * | unavailable   | no answer, an answer of 5xx, or one that was cut                      | yes    |
 * | bad_answer    | the answer is not what its documentation says                         | yes    |
 */
export type CiErrorCode =
  | 'no_secret'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'refused'
  | 'rate_limited'
  | 'unavailable'
  | 'bad_answer';

export class CiError extends Error {
  readonly code: CiErrorCode;
  /** Wall-clock ms before which it is no use to ask again. */
  readonly retryAt: number | undefined;

  constructor(
    code: CiErrorCode,
    message: string,
    options: ErrorOptions & { readonly retryAt?: number | undefined } = {},
  ) {
    super(message, options);
    this.name = 'CiError';
    this.code = code;
    this.retryAt = options.retryAt;
  }
}
