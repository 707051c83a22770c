/** A clock that stands still until a test moves it. */
export class VirtualTime {
  #now = 0;
  readonly #sleepers = new Set<{ at: number; wake: () => void }>();

  get now(): number {
    return this.#now;
  }

  /** How many wait for time to pass. */
  get waiting(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { at: this.#now + ms, wake: resolve };
    const aborted = () => reject(signal.reason);
    if (signal.aborted) aborted();
    else this.#sleepers.add(sleeper);
    signal.addEventListener('abort', aborted, { once: true });
    return promise.finally(() => {
      signal.removeEventListener('abort', aborted);
      this.#sleepers.delete(sleeper);
    });
  }

  /** Lets time pass, once all that runs now waits for something. */
  async advance(ms: number): Promise<void> {
    await settled();
    this.#now += ms;
    for (const sleeper of this.#sleepers) if (sleeper.at <= this.#now) sleeper.wake();
    await settled();
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
