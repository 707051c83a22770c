import { setTimeout as sleep } from 'node:timers/promises';

/** Waits longer after each failure, with jitter, so that many do not come back at once. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #failures = 0;

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** Waits, or throws the abort reason. */
  async wait(signal: AbortSignal): Promise<void> {
    const most = Math.min(this.#firstMs * 2 ** this.#failures, this.#longestMs);
    this.#failures += 1;
    await sleep(most * (0.5 + Math.random() / 2), undefined, { signal });
  }
}
