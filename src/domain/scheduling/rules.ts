import type { Pool } from '../pool.ts';
import { isOpen, type Window } from '../window.ts';
import type { FleetView, Reservation, TeamRules } from './fleet-view.ts';

/** What the configuration says of the whole fleet. */
export interface FleetRules {
  readonly teams: ReadonlyMap<string, TeamRules>;
  readonly reservations: readonly (Reservation & {
    /** When it holds; absent: always. */
    readonly when?: Window;
  })[];
  readonly maintenance: readonly Maintenance[];
}

/** A time at which nothing starts on some hosts; what runs there ends by itself. */
export interface Maintenance {
  readonly name: string;
  readonly when: Window;
  /** Hosts with all of these labels; none: all hosts. */
  readonly hostLabels: readonly string[];
}

export const NO_RULES: FleetRules = { teams: new Map(), reservations: [], maintenance: [] };

/** The rules that hold now. */
export function rulesNow(
  { teams, reservations }: FleetRules,
  now: number,
): Pick<FleetView, 'teams' | 'reservations'> {
  return {
    teams,
    reservations: reservations.filter(({ when }) => when === undefined || isOpen(when, now)),
  };
}

/** Why nothing starts on a host with these labels now; undefined when nothing keeps it. */
export function whyClosed(
  { maintenance }: FleetRules,
  labels: readonly string[],
  now: number,
): string | undefined {
  const open = maintenance.find(
    ({ hostLabels, when }) =>
      hostLabels.every((label) => labels.includes(label)) && isOpen(when, now),
  );
  return open === undefined ? undefined : `it is in the maintenance window ${open.name}`;
}

/**
 * A pool with the numbers of its schedule and its forecast: of the windows that are open the last
 * counts, and the forecast adds to what is kept ready.
 */
export function poolAt(pool: Pool, now: number, forecast = 0): Pool {
  const open = pool.schedule?.findLast(({ when }) => isOpen(when, now));
  if (open === undefined && forecast <= pool.ready) return pool;
  const { ready = pool.ready, max = pool.max } = open ?? {};
  return { ...pool, max, ready: Math.min(Math.max(ready, forecast), max) };
}
