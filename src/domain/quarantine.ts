import { failsMoreOften, type Trials } from './evidence.ts';
import type { HostTaskKind } from './host-task.ts';

/** Fewer failures say nothing of a host. */
const LEAST_FAILURES = 5;
/** Hosts are many and are looked at often: only what is very unlikely counts. */
const SIGNIFICANCE = 0.001;
const FIRST_MS = 10 * 60_000;
/** So many times a host is tried again by itself, when nothing can be done about it. */
const TRIES = 2;

/** What is looked at of the past. */
export const EVIDENCE_MS = 24 * 3_600_000;

export interface Quarantine {
  /** How long; absent: until a person has looked. */
  readonly ms?: number;
  /** What is done about it. */
  readonly repair?: HostTaskKind;
  readonly reason: string;
}

/**
 * Whether a host is to be left alone: what fails there passes elsewhere. Each time the next rung of the
 * ladder of repairs is tried, and the rest is twice as long, from ten minutes on; after the last rung
 * a person has to look. Without others to compare with nothing is said of a host: what fails then may
 * be the jobs.
 *
 * @param strikes how often it was quarantined before
 * @param repairs what the host can do about itself, the mildest first
 */
export function judgeHost(
  here: Trials,
  elsewhere: Trials,
  strikes: number,
  repairs: readonly HostTaskKind[],
): Quarantine | undefined {
  if (here.failed < LEAST_FAILURES || elsewhere.trials < LEAST_FAILURES) return undefined;
  if (!failsMoreOften(here, elsewhere, SIGNIFICANCE)) return undefined;
  const reason = `${here.failed} of ${here.trials} failed there, elsewhere ${elsewhere.failed} of ${elsewhere.trials}`;
  return rung(reason, strikes, repairs);
}

/** What is done with a host that was found to be broken, the how many-th time. */
export function rung(
  reason: string,
  strikes: number,
  repairs: readonly HostTaskKind[],
): Quarantine {
  if (strikes >= Math.max(TRIES, repairs.length)) {
    return { reason: `${reason}; for the ${strikes + 1}. time: look at it` };
  }
  const repair = repairs[strikes];
  const ms = FIRST_MS * 2 ** strikes;
  return repair === undefined ? { ms, reason } : { ms, repair, reason };
}
