import { runFleet, type FleetOutcome } from './fleet-run.ts';
import { findFleet, type Target } from './target.ts';
import type { TracedJob } from './trace.ts';

/** From the end of a job until its place is free. */
const DESTROY_MS = 5_000;

export interface FleetQuestion {
  /** Workers of a host at once. */
  readonly slots: number;
  /** Share of the places that is kept ready, in per cent. */
  readonly ready: number;
  /** From asking for a worker until it is ready. */
  readonly makeMs: number;
  /** As many more are kept ready as are forecast to be needed. */
  readonly forecast?: boolean | undefined;
  /** The fewest hosts that reach it are looked for; absent: `hosts` are tried. */
  readonly target?: Target | undefined;
  readonly hosts: number;
}

/** Plays jobs on the fleets that a question is about. `hosts`: the fewest that reach the target, if any do. */
export function askFleet(
  { slots, ready, makeMs, forecast = false, target, hosts }: FleetQuestion,
  trace: readonly TracedJob[],
): { readonly hosts: number | undefined; readonly tried: readonly FleetOutcome[] } {
  const run = (count: number): FleetOutcome => {
    const kept = Math.ceil((count * slots * ready) / 100);
    const plan = { hosts: count, slots, ready: kept, makeMs, destroyMs: DESTROY_MS };
    return runFleet(forecast ? { ...plan, forecast } : plan, trace);
  };
  if (target === undefined) return { hosts: undefined, tried: [run(hosts)] };
  return findFleet(target, run);
}
