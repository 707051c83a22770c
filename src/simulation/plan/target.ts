import { parseDuration } from '../../protocol/values.ts';
import type { FleetOutcome } from './fleet-run.ts';

/** What a fleet is to reach. */
export interface Target {
  readonly quantile: 'p50' | 'p95' | 'p99' | 'longest';
  /** The wait has to be less than this. */
  readonly ms: number;
}

/** Reads a target such as `p95 wait < 2m`; undefined when it is none. */
export function parseTarget(text: string): Target | undefined {
  const match = /^\s*(p50|p95|p99|longest)\s+wait\s*<\s*(\S+)\s*$/.exec(text);
  const ms = parseDuration(match?.[2] ?? '');
  if (match?.[1] === undefined || ms === undefined) return undefined;
  return { quantile: match[1] as Target['quantile'], ms };
}

export function reaches({ wait }: FleetOutcome, { quantile, ms }: Target): boolean {
  return wait[quantile] < ms;
}

/** What no number of hosts reaches: a wait that is in the jobs themselves. */
const MOST_HOSTS = 100_000;

/**
 * The smallest number of hosts that reaches the target, with what was tried on the way, smallest first.
 * More hosts never make jobs wait longer, so that halving finds it. Undefined when no number does.
 */
export function findFleet(
  target: Target,
  run: (hosts: number) => FleetOutcome,
): { readonly hosts: number | undefined; readonly tried: readonly FleetOutcome[] } {
  const tried = new Map<number, FleetOutcome>();
  const reached = (hosts: number): boolean => {
    const outcome = run(hosts);
    tried.set(hosts, outcome);
    return reaches(outcome, target);
  };
  let most = 1;
  while (!reached(most)) {
    const nobodyWaits = (tried.get(most)?.use ?? 1) * most < 0.5;
    if (most >= MOST_HOSTS || (nobodyWaits && most > 1_000)) break;
    most *= 2;
  }
  const best = tried.get(most);
  const found = best !== undefined && reaches(best, target);
  let [low, high] = [most / 2, most];
  while (found && high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (reached(middle)) high = middle;
    else low = middle;
  }
  const outcomes = [...tried.values()].toSorted((a, b) => a.plan.hosts - b.plan.hosts);
  return { hosts: found ? Math.ceil(high) : undefined, tried: outcomes };
}
