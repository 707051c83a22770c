export type WakeReason = 'rung' | 'quiet' | 'aborted';

/** A bell for one waiter. A ring while nobody waits is not lost: the next wait ends at once. */
export class Wake {
  #rung = false;
  #wakeUp: ((reason: WakeReason) => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wakeUp?.('rung');
  }

  /** Returns at the next ring, `quiet` after `ms` without one, or when `signal` aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<WakeReason> {
    const reason = await this.#next(ms, signal);
    if (reason === 'rung') this.#rung = false;
    return reason;
  }

  #next(ms: number, signal: AbortSignal): Promise<WakeReason> {
    if (signal.aborted) return Promise.resolve('aborted');
    if (this.#rung) return Promise.resolve('rung');
    const { promise, resolve } = Promise.withResolvers<WakeReason>();
    const aborted = () => resolve('aborted');
    const timer = setTimeout(() => resolve('quiet'), ms);
    signal.addEventListener('abort', aborted);
    this.#wakeUp = resolve;
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      this.#wakeUp = undefined;
    });
  }
}
