/** Time as the code may see it. Tests and the simulator bring their own. */
export interface Clock {
  /** Wall-clock milliseconds since 1970. May jump. For people and for expiry dates. */
  now(): number;
  /** Milliseconds that only grow, from an unknown start. For every duration. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
