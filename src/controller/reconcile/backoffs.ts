import type { Backoff } from '../../domain/scheduling/fleet-view.ts';
import { backoffKey } from '../../domain/scheduling/fleet-view.ts';
import type { Clock } from '../../platform/clock.ts';
import type { WorkerOutcomes } from '../sessions/observe.ts';

const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/**
 * Remembers where workers failed to start, so that a broken host is tried less and less often. It
 * lives in memory only: after a restart each place is tried afresh.
 */
export class Backoffs implements WorkerOutcomes {
  readonly #clock: Clock;
  /** With `until` by the monotonic clock. */
  readonly #backoffs = new Map<string, Backoff>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** By `backoffKey`, with `until` by the wall clock as it is now. */
  get current(): ReadonlyMap<string, Backoff> {
    const difference = this.#clock.now() - this.#clock.monotonic();
    return new Map(
      [...this.#backoffs].map(([key, backoff]) => [
        key,
        { ...backoff, until: backoff.until + difference },
      ]),
    );
  }

  madeReady(pool: string, image: string, hostId: string): void {
    this.#backoffs.delete(backoffKey(pool, image, hostId));
  }

  failedToStart(pool: string, image: string, hostId: string, reason: string): void {
    const key = backoffKey(pool, image, hostId);
    const failures = (this.#backoffs.get(key)?.failures ?? 0) + 1;
    const wait = Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS);
    this.#backoffs.set(key, { until: this.#clock.monotonic() + wait, failures, reason });
  }
}
