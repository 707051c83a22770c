import type { JobState } from '../job.ts';
import type { RunnerState } from './ci-job.ts';

/**
 * The life of a runner, which is a Pomona job whose payload a CI system's runner is:
 *
 * | phase    | invariant                                                                        |
 * |----------|----------------------------------------------------------------------------------|
 * | waiting  | no credential exists; it has no worker, or one that was not handed the payload    |
 * | starting | a credential may exist; the CI system has not seen the runner yet                 |
 * | idle     | registered, and no job was seen on it                                             |
 * | busy     | a job was seen on it, now or before: it must not be disturbed                     |
 * | leaving  | it is to go: the CI system is asked to forget it, then its worker is ended        |
 * | ended    | its Pomona job is finished                                                        |
 */
export type RunnerPhase = 'waiting' | 'starting' | 'idle' | 'busy' | 'leaving' | 'ended';

/** What is recorded of a runner. Times are wall-clock ms of the controller. */
export interface RunnerFacts {
  readonly jobState: JobState;
  /** A credential was asked for at this time. */
  readonly preparedAt: number | undefined;
  /** When the CI system was first seen to have it. */
  readonly seenAt: number | undefined;
  /** When a job was first seen on it. */
  readonly tookAt: number | undefined;
  readonly leaving: boolean;
}

export function phaseOf(facts: RunnerFacts): RunnerPhase {
  if (facts.jobState === 'finished') return 'ended';
  if (facts.tookAt !== undefined) return facts.leaving ? 'leaving' : 'busy';
  if (facts.leaving) return 'leaving';
  if (facts.seenAt !== undefined) return 'idle';
  return facts.preparedAt === undefined ? 'waiting' : 'starting';
}

/** Where a runner is found when the CI system is asked for it alone. */
export type Found = 'absent' | RunnerState;

/** What to do about a runner that a whole listing of the CI system left out. */
export type MissingVerdict =
  /** Nothing is wrong, or nothing is known yet. */
  | 'keep'
  /** Ask for it alone. */
  | 'ask'
  /** It was asked for alone twice and is not there: it would listen for ever. */
  | 'destroy';

/** A runner has to be absent for this long, from one asking to the next, to be given up. */
export const ABSENT_MS = 60_000;

/**
 * Judges a runner that was seen before and is not in the listing now. Listings are known to omit
 * runners that live, so the answer to a question about it alone counts, twice.
 */
export function judgeMissing(
  runner: { readonly phase: RunnerPhase; readonly absentSince: number | undefined },
  now: number,
  asked: Found | undefined,
): MissingVerdict {
  if (runner.phase !== 'idle' && runner.phase !== 'busy') return 'keep';
  if (asked === undefined) return 'ask';
  if (asked !== 'absent') return 'keep';
  if (runner.absentSince === undefined) return 'keep';
  return now - runner.absentSince >= ABSENT_MS ? 'destroy' : 'keep';
}

/** More runners than this at once are not destroyed for being absent, nor removed as ghosts. */
export function breakerLimit(live: number): number {
  return Math.max(3, Math.floor(live / 4));
}
