/** Time as the code may see it. Tests and the simulator bring their own. */
export interface Clock {
  /** Wall-clock milliseconds since 1970. May jump. For people and for expiry dates. */
  now(): number;
  /** Milliseconds that only grow, from an unknown start. For every duration. */
  monotonic(): number;
  /** Calls `work`, which must not throw, each `ms` until it is stopped. Keeps no process alive. */
  every(ms: number, work: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  every(ms, work) {
    const timer = setInterval(work, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
