import type { Queryable } from '../../db/database.ts';
import { getSetting, setSetting } from '../../db/queries/settings.ts';
import type { Clock } from '../../platform/clock.ts';

/** What is known of how a CI system does. Times are wall-clock ms. */
export interface HealthNotes {
  /** When the last look ended. */
  readonly lookedAt?: number | undefined;
  readonly lastEvent?: { readonly at: number; readonly what: string } | undefined;
  /** What failed last. */
  readonly lastError?:
    { readonly at: number; readonly what: string; readonly message: string } | undefined;
}

/** Other controllers hear of it so often at most. */
const TELL_EVERY_MS = 5_000;

/** How an integration's CI system is doing, as far as we see. In memory: a look tells it anew. */
export class Health implements HealthNotes {
  readonly #clock: Clock;
  #looked: { at: number; monotonic: number; jobs: number } | undefined;
  #event: { at: number; what: string } | undefined;
  #told: string | undefined;
  #toldAt = -Infinity;
  #error: { at: number; what: string; message: string } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  looked(jobs: number): void {
    this.#looked = { at: this.#clock.now(), monotonic: this.#clock.monotonic(), jobs };
    // What failed before it, and has not failed since, is over.
    if (this.#error?.what === 'a look') this.#error = undefined;
  }

  event(what: string): void {
    this.#event = { at: this.#clock.now(), what };
  }

  failed(what: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#error = { at: this.#clock.now(), what, message };
  }

  /** Tells the other controllers what changed since they were told, now and then. */
  async tell(db: Queryable, integration: string): Promise<void> {
    const now = this.#clock.monotonic();
    if (now - this.#toldAt < TELL_EVERY_MS) return;
    const { lookedAt, lastEvent, lastError } = this;
    const text = JSON.stringify({ lookedAt, lastEvent, lastError } satisfies HealthNotes);
    if (text === this.#told) return;
    this.#toldAt = now;
    await setSetting(db, nameOf(integration), text);
    this.#told = text;
  }

  get lookedAt(): number | undefined {
    return this.#looked?.at;
  }

  sinceLookMs(): number {
    if (this.#looked === undefined) return Number.POSITIVE_INFINITY;
    return this.#clock.monotonic() - this.#looked.monotonic;
  }

  get lastEvent(): { readonly at: number; readonly what: string } | undefined {
    return this.#event;
  }

  get lastError():
    { readonly at: number; readonly what: string; readonly message: string } | undefined {
    return this.#error;
  }
}

/** What the controller that sees to an integration told last. */
export async function toldHealth(db: Queryable, integration: string): Promise<HealthNotes> {
  const text = await getSetting(db, nameOf(integration));
  return text === undefined ? {} : (JSON.parse(text) as HealthNotes);
}

function nameOf(integration: string): string {
  return `health ${integration}`;
}
