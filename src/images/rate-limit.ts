import { setTimeout as sleep } from 'node:timers/promises';

/** Time, injected so that tests decide it. */
export interface RateClock {
  /** Milliseconds. */
  readonly now: number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

const realTime: RateClock = {
  get now() {
    return performance.now();
  },
  sleep: async (ms, signal) => void (await sleep(ms, undefined, { signal })),
};

const NEVER = new AbortController().signal;

/** Lets so many bytes through in a second, on average, however many ask at once. */
export class RateLimit {
  readonly #bytesPerMs: number;
  readonly #clock: RateClock;
  /** When what was let through so far is paid for, by the monotonic clock. */
  #paidAt = 0;

  constructor(bytesPerSecond: number, clock: RateClock = realTime) {
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#clock = clock;
  }

  async take(bytes: number, signal: AbortSignal = NEVER): Promise<void> {
    const { now } = this.#clock;
    const begin = Math.max(now, this.#paidAt);
    this.#paidAt = begin + bytes / this.#bytesPerMs;
    if (begin > now) await this.#clock.sleep(begin - now, signal);
  }
}
