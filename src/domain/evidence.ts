/** Trials, and how many of them failed. */
export interface Trials {
  readonly failed: number;
  readonly trials: number;
}

/**
 * Whether one fails more often than the other by more than accident: so many of all failures fall on
 * its trials by chance with a probability below `significance` (Fisher's exact test, one-sided).
 */
export function failsMoreOften(one: Trials, other: Trials, significance: number): boolean {
  return chanceOfSoMany(one, other) < significance;
}

/** How likely that many of the failures of both, or more, fall on the trials of one by accident. */
function chanceOfSoMany(one: Trials, other: Trials): number {
  const failures = one.failed + other.failed;
  let chance = 0;
  for (let count = one.failed; count <= Math.min(failures, one.trials); count += 1) {
    const rest = failures - count;
    if (rest > other.trials) continue;
    chance += Math.exp(
      logChoose(one.trials, count) +
        logChoose(other.trials, rest) -
        logChoose(one.trials + other.trials, failures),
    );
  }
  return chance;
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i += 1) sum += Math.log(n - k + i) - Math.log(i);
  return sum;
}
