import { setTimeout as sleep } from 'node:timers/promises';

/** Lets so many bytes through in a second, on average, however many ask at once. */
export class RateLimit {
  readonly #bytesPerMs: number;
  /** When what was let through so far is paid for, by the monotonic clock. */
  #paidAt = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1_000;
  }

  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = performance.now();
    const begin = Math.max(now, this.#paidAt);
    this.#paidAt = begin + bytes / this.#bytesPerMs;
    if (begin > now) await sleep(begin - now, undefined, signal === undefined ? {} : { signal });
  }
}
