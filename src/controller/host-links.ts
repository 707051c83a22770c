import type { HostRow } from '../db/queries/hosts.ts';
import type { Clock } from '../platform/clock.ts';

/** A host's link to the fleet's controllers. */
export interface HostLink {
  readonly online: boolean;
  /** Time without a session, in ms, as this controller saw it; 0 while online. */
  readonly silentForMs: number;
}

/** Which hosts have a session with a controller that lives, and how long the others had none. */
export class HostLinks {
  readonly #clock: Clock;
  #live: ReadonlySet<string> = new Set();
  /** Since when a host was seen without one, by the monotonic clock. */
  readonly #silentSince = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns whether that is another set of controllers than before. */
  setLive(controllers: ReadonlySet<string>): boolean {
    const before = this.#live;
    this.#live = controllers;
    return before.size !== controllers.size || [...controllers].some((id) => !before.has(id));
  }

  of({ id, session_holder: holder }: Pick<HostRow, 'id' | 'session_holder'>): HostLink {
    if (holder !== null && this.#live.has(holder)) {
      this.#silentSince.delete(id);
      return { online: true, silentForMs: 0 };
    }
    return { online: false, silentForMs: this.silentForMs(id) };
  }

  /** Of a host that was seen without a session. */
  silentForMs(hostId: string): number {
    const now = this.#clock.monotonic();
    const since = this.#silentSince.get(hostId) ?? now;
    this.#silentSince.set(hostId, since);
    return now - since;
  }
}
