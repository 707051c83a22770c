import { failsMoreOften, type Trials } from './evidence.ts';

/** Fewer failures say nothing of a host. */
const LEAST_FAILURES = 5;
/** Hosts are many and are looked at often: only what is very unlikely counts. */
const SIGNIFICANCE = 0.001;
const FIRST_MS = 10 * 60_000;
/** So many times a host is tried again by itself. */
const TRIES = 2;

/** What is looked at of the past. */
export const EVIDENCE_MS = 24 * 3_600_000;

export interface Quarantine {
  /** How long; absent: until a person has looked. */
  readonly ms?: number;
  readonly reason: string;
}

/**
 * Whether a host is to be left alone: what fails there passes elsewhere. It is tried again after ten
 * minutes, then after twenty; the third time a person has to look. Without others to compare with
 * nothing is said of a host: what fails then may be the jobs.
 *
 * @param strikes how often it was quarantined before
 */
export function judgeHost(
  here: Trials,
  elsewhere: Trials,
  strikes: number,
): Quarantine | undefined {
  if (here.failed < LEAST_FAILURES || elsewhere.trials < LEAST_FAILURES) return undefined;
  if (!failsMoreOften(here, elsewhere, SIGNIFICANCE)) return undefined;
  const reason = `${here.failed} of ${here.trials} failed there, elsewhere ${elsewhere.failed} of ${elsewhere.trials}`;
  if (strikes >= TRIES) return { reason: `${reason}; for the ${strikes + 1}. time: look at it` };
  return { ms: FIRST_MS * 2 ** strikes, reason };
}
