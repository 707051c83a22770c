import type { BuildOrder } from './build.ts';

/**
 * The life of a job: `queued -> assigned -> running -> finished`.
 *
 * | state    | invariant                                                                          |
 * |----------|------------------------------------------------------------------------------------|
 * | queued   | waits for a worker; no worker has it                                               |
 * | assigned | handed over to one worker under `epoch`; it may already run                        |
 * | running  | its worker said that the command started                                           |
 * | finished | `outcome` is set, once; nothing changes it any more                                |
 *
 * Each hand-over raises `epoch`. What an earlier epoch still delivers is refused. `assigned` and
 * `running` go back to `queued` only if the job may be retried.
 */
export const JOB_STATES = ['queued', 'assigned', 'running', 'finished'] as const;
export type JobState = (typeof JOB_STATES)[number];

/**
 * | outcome   | meaning                                                          | exit code of `run` |
 * |-----------|------------------------------------------------------------------|--------------------|
 * | succeeded | the command exited 0                                             | 0                  |
 * | failed    | the command exited otherwise                                     | its own            |
 * | timed-out | it ran longer than its time-out and was ended                    | 124                |
 * | cancelled | someone cancelled it                                             | 130                |
 * | lost      | Pomona could not run it to the end (host gone, worker broken)    | 125                |
 */
export const JOB_OUTCOMES = ['succeeded', 'failed', 'timed-out', 'cancelled', 'lost'] as const;
export type JobOutcome = (typeof JOB_OUTCOMES)[number];

/** What a worker executes for its job. */
export interface Payload {
  /** argv; the first is looked up in the worker's PATH. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Names of secrets; each becomes an environment variable of that name. */
  readonly secrets: readonly string[];
  /** Digest (`sha256:<hex>`) of an uploaded gzipped tar, unpacked into the working directory. */
  readonly source?: string;
  /** Globs below the working directory; matching regular files are brought back. */
  readonly artifacts: readonly string[];
  readonly timeoutMs: number;
  /** For workers that build; they build it and run no command. */
  readonly build?: BuildOrder;
}

/** A payload with its secrets' values: the message that hands a job to a worker. Never logged. */
export interface JobOrder {
  readonly jobId: string;
  readonly epoch: number;
  readonly payload: Payload;
  readonly secretValues: Readonly<Record<string, string>>;
}

/** How the command ended, as the worker saw it. Times are wall-clock ms of the host. */
export interface JobResult {
  readonly outcome: JobOutcome;
  /** The command's exit code; 128 + signal number when a signal ended it; absent when lost. */
  readonly exitCode?: number;
  /** For people: `killed by SIGKILL (out of memory)`, `command not found: foo`, ... */
  readonly reason?: string;
  readonly startedAt?: number;
  readonly finishedAt: number;
  /** Bytes of framed log written; the controller has them all when it sees the result. */
  readonly logBytes: number;
}

/** The exit code that `pomona run` gives for a finished job. */
export function exitCodeOf(outcome: JobOutcome, exitCode: number | undefined): number {
  switch (outcome) {
    case 'succeeded':
      return 0;
    case 'failed':
      return exitCode === undefined || exitCode === 0 ? 125 : exitCode;
    case 'timed-out':
      return 124;
    case 'cancelled':
      return 130;
    case 'lost':
      return 125;
  }
}
