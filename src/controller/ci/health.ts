import type { Clock } from '../../platform/clock.ts';

/** How an integration's CI system is doing, as far as we see. In memory: a look tells it anew. */
export class Health {
  readonly #clock: Clock;
  #looked: { at: number; monotonic: number; jobs: number } | undefined;
  #event: { at: number; what: string } | undefined;
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

  /** When the last look ended, wall-clock ms. */
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

  /** What failed last, and when. */
  get lastError():
    { readonly at: number; readonly what: string; readonly message: string } | undefined {
    return this.#error;
  }
}
