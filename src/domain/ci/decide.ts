import type { RunnerPhase } from './runner-phase.ts';

/** What one class of runners looks like now. */
export interface ClassView {
  readonly now: number;
  /** When the CI system was last looked at: who came after that was not seen yet. */
  readonly lookedAt: number;
  /** Jobs that wait in the CI system for a runner of this class. */
  readonly queued: number;
  readonly standby: number;
  /** Runners that may still be added under the limits it shares with others. */
  readonly room: number;
  readonly runners: readonly RunnerView[];
  /** Runners of it that ended lately without a job, one after the other, and when the last did. */
  readonly failures: { readonly inARow: number; readonly lastAt: number | undefined };
  readonly rules: ClassRules;
}

export interface RunnerView {
  readonly jobId: string;
  readonly phase: RunnerPhase;
  /** When the phase began, ms. */
  readonly since: number;
  /** Its host drains: it is to go as soon as it has no job. */
  readonly unwanted?: boolean;
}

export interface ClassRules {
  /** How long a runner that nobody needs may idle. */
  readonly idleMs: number;
  /** How long a runner may take from its credential to its registration. */
  readonly registerMs: number;
  /** How long one that is kept without a job may wait before another takes its place. */
  readonly standbyMs: number;
}

export type ClassAction =
  | { readonly type: 'add'; readonly count: number }
  /** Nothing of it runs yet: its Pomona job is cancelled. */
  | { readonly type: 'cancel'; readonly jobId: string; readonly reason: string }
  /** The CI system is asked to forget it; it stays when it has a job by then. */
  | {
      readonly type: 'leave';
      readonly jobId: string;
      readonly reason: string;
      /** It should have been of use: making the next one may have to wait. */
      readonly failed: boolean;
    };

const FIRST_WAIT_MS = 10_000;
const LONGEST_WAIT_MS = 3_600_000;
/** One runner may end without a job by accident: another took the job first. */
const FREE_FAILURES = 2;

/**
 * How many runners a class is to have: one for each job that waits, and those kept without a job.
 * By numbers, not by events, so that an event which comes twice or never changes nothing. What is
 * on its way counts until its time to register is over.
 */
export function decideClass(view: ClassView): ClassAction[] {
  const { now, rules, runners } = view;
  const late = runners.filter(
    ({ phase, since }) => phase === 'starting' && view.lookedAt - since >= rules.registerMs,
  );
  const coming = runners.filter(
    (runner) =>
      runner.phase === 'waiting' ||
      runner.phase === 'idle' ||
      (runner.phase === 'starting' && !late.includes(runner)),
  );
  const actions: ClassAction[] = late.map(({ jobId }) => ({
    ...{ type: 'leave', jobId, failed: true },
    reason: `it did not register within ${Math.round(rules.registerMs / 1000)} s`,
  }));
  for (const runner of coming.filter(({ phase, unwanted }) => phase === 'idle' && unwanted)) {
    const reason = 'its host drains';
    actions.push({ type: 'leave', jobId: runner.jobId, reason, failed: false });
    coming.splice(coming.indexOf(runner), 1);
  }
  const old = coming.find(({ phase, since }) => phase === 'idle' && now - since >= rules.standbyMs);
  if (old !== undefined) {
    const reason = 'another takes its place: it waited long';
    actions.push({ type: 'leave', jobId: old.jobId, reason, failed: false });
    coming.splice(coming.indexOf(old), 1);
  }
  const missing = view.queued + view.standby - coming.length;
  if (missing > 0) {
    const count = Math.min(missing, Math.max(0, view.room));
    if (count > 0 && now >= retryAt(view.failures)) actions.push({ type: 'add', count });
  }
  for (const { runner, reason } of surplus(view, coming, -missing)) {
    const { jobId, phase } = runner;
    if (phase === 'waiting') actions.push({ type: 'cancel', jobId, reason });
    else actions.push({ type: 'leave', jobId, reason, failed: false });
  }
  return actions;
}

/**
 * Those that cost least go first; what may be needed in a moment stays for its idle time. One that
 * starts may have a job the moment it is there: it is left alone until the CI system has seen it.
 */
function surplus(view: ClassView, coming: readonly RunnerView[], count: number) {
  const order: readonly RunnerPhase[] = ['waiting', 'idle', 'starting'];
  return coming
    .toSorted((a, b) => order.indexOf(a.phase) - order.indexOf(b.phase) || a.since - b.since)
    .slice(0, Math.max(0, count))
    .filter(({ phase, since }) => {
      if (phase === 'starting') return false;
      return phase === 'waiting' || view.now - since >= view.rules.idleMs;
    })
    .map((runner) => ({
      runner,
      reason: runner.phase === 'waiting' ? 'no job waits for it any more' : 'no job came for it',
    }));
}

/** When a class that makes runners in vain may make the next. */
export function retryAt(failures: ClassView['failures']): number {
  const { inARow, lastAt } = failures;
  if (lastAt === undefined || inARow < FREE_FAILURES) return 0;
  const wait = FIRST_WAIT_MS * 2 ** Math.min(inARow - FREE_FAILURES, 20);
  return lastAt + Math.min(wait, LONGEST_WAIT_MS);
}
