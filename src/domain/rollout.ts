import { failsMoreOften } from './evidence.ts';
import type { Pool } from './pool.ts';

/**
 * How a new image takes over a pool. By stages, a share of the new workers is made from it; it is judged
 * against the old one, and goes back by itself.
 *
 * | state   | invariant                                                                        |
 * |---------|----------------------------------------------------------------------------------|
 * | running | a share of the new workers is made from the new image                            |
 * | paused  | none is; workers made from it stay                                               |
 * | done    | all are, until the pool itself names another image                               |
 * | back    | none is; idle workers made from it go                                            |
 */
export const ROLLOUT_STATES = ['running', 'paused', 'done', 'back'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export interface Rollout {
  readonly pool: string;
  /** Image names: what the pool names, and what is to take over. */
  readonly from: string;
  readonly to: string;
  readonly state: RolloutState;
  /** Shares of the new workers, in per cent, ascending; after the last one it is done. */
  readonly stages: readonly number[];
  /** Index of the stage that it is in. */
  readonly stage: number;
  /** Trials of the new image in each stage. */
  readonly trials: number;
  /** Since it began. */
  readonly old: Tally;
  readonly new: Tally;
}

/** What became of the workers of one image. */
export interface Tally {
  readonly made: number;
  /** Workers that failed by themselves, with or without a job. */
  readonly failed: number;
  /** Jobs that ended by themselves, and those of them that did not succeed. */
  readonly jobs: number;
  readonly jobsFailed: number;
}

export const NO_TALLY: Tally = { made: 0, failed: 0, jobs: 0, jobsFailed: 0 };

export type Verdict =
  | { readonly kind: 'wait' }
  | { readonly kind: 'next' }
  | { readonly kind: 'done' }
  | { readonly kind: 'back'; readonly reason: string };

/** Fewer failures say nothing of an image. */
const LEAST_FAILURES = 3;
/** As unlikely as this a difference is no accident. */
const SIGNIFICANCE = 0.05;

/** The pool as it is to be now: a roll-out that is done holds as long as the pool names the old image. */
export function poolNow(pool: Pool, rollout: Rollout | undefined): Pool {
  const holds = rollout?.state === 'done' && rollout.from === pool.image;
  return holds ? { ...pool, image: rollout.to } : pool;
}

/** The pool with the new image, while a roll-out runs or is paused. */
export function canaryOf(pool: Pool, rollout: Rollout | undefined): Pool | undefined {
  if (rollout === undefined || rollout.from !== pool.image) return undefined;
  if (rollout.state !== 'running' && rollout.state !== 'paused') return undefined;
  return { ...pool, image: rollout.to };
}

/** Whether the next worker is to be made from the new image, so that its share is kept. */
export function isCanaryTurn({ state, stages, stage }: Rollout, oldMade: number, newMade: number) {
  if (state !== 'running') return false;
  const share = (stages[stage] ?? 0) / 100;
  return newMade < share * (oldMade + newMade + 1);
}

/** What the numbers say of a roll-out that runs. */
export function judgeRollout(rollout: Rollout): Verdict {
  const reason = whyWorse(rollout.old, rollout.new);
  if (reason !== undefined) return { kind: 'back', reason };
  if (trialsOf(rollout.new) < rollout.trials * (rollout.stage + 1)) return { kind: 'wait' };
  return { kind: rollout.stage + 1 < rollout.stages.length ? 'next' : 'done' };
}

function trialsOf({ failed, jobs }: Tally): number {
  return failed + jobs;
}

function whyWorse(old: Tally, next: Tally): string | undefined {
  const oldTrials = trialsOf(old);
  const trials = trialsOf(next);
  if (isWorse(next.failed, trials, old.failed, oldTrials)) {
    return `${next.failed} of ${trials} workers of the new image failed, of the old one ${old.failed} of ${oldTrials}`;
  }
  if (isWorse(next.jobsFailed, next.jobs, old.jobsFailed, old.jobs)) {
    return `${next.jobsFailed} of ${next.jobs} jobs failed on the new image, on the old one ${old.jobsFailed} of ${old.jobs}`;
  }
  return undefined;
}

/** With nothing to compare with, most trials have to have failed. */
function isWorse(failed: number, trials: number, oldFailed: number, oldTrials: number): boolean {
  if (failed < LEAST_FAILURES) return false;
  if (oldTrials === 0) return failed / trials > 0.5;
  return failsMoreOften({ failed, trials }, { failed: oldFailed, trials: oldTrials }, SIGNIFICANCE);
}
