/** Demand is counted over times of this length. */
export const SLOT_MS = 5 * 60_000;
const DAY_SLOTS = (24 * 3_600_000) / SLOT_MS;
const WEEK_SLOTS = 7 * DAY_SLOTS;
/** Weeks that are looked at, and what each of them counts: the last one most. */
const WEEKS = [4, 3, 2, 1] as const;
/** Slots of the last quarter of an hour. */
const RECENT = 3;
/** What weeks say counts so much beside the last quarter of an hour. */
const WEEKS_COUNT = 0.7;
/** The share of such slots that the forecast is to be enough for. */
const ENOUGH = 0.95;

/** Demand is kept for so long. */
export const DEMAND_KEPT_MS = (WEEKS.length * 7 + 1) * 24 * 3_600_000;

/** Jobs that asked for a pool, by slot: `Math.floor(time / SLOT_MS)`. */
export type Demand = ReadonlyMap<number, number>;

/**
 * How many workers of a pool should be ready for the next minutes: enough for what comes at this time
 * of this day of the week, and for what comes now, with 95 per cent certainty if jobs come by themselves
 * (as by Poisson). Pure. Without a week of history only what comes now is looked at.
 *
 * @param since the first slot that was counted
 */
export function forecastReady(demand: Demand, since: number, now: number): number {
  const slot = Math.floor(now / SLOT_MS);
  let recent = 0;
  for (let back = 1; back <= RECENT; back += 1) recent += demand.get(slot - back) ?? 0;
  recent /= RECENT;
  let [sum, weights] = [0, 0];
  for (const [index, weight] of WEEKS.entries()) {
    const then = slot - (index + 1) * WEEK_SLOTS;
    if (then - 1 < since) continue;
    // This slot and the next: what is made now is ready in some minutes.
    sum += weight * Math.max(demand.get(then) ?? 0, demand.get(then + 1) ?? 0);
    weights += weight;
  }
  const expected =
    weights === 0 ? recent : (WEEKS_COUNT * sum) / weights + (1 - WEEKS_COUNT) * recent;
  return enoughFor(expected);
}

/** The least number that is not exceeded in 95 per cent of all cases, when `mean` come by themselves. */
function enoughFor(mean: number): number {
  if (mean <= 0) return 0;
  // Far from the beginning a normal distribution is as good, and its terms do not vanish.
  if (mean > 500) return Math.ceil(mean + 1.645 * Math.sqrt(mean));
  let term = Math.exp(-mean);
  let sum = term;
  let count = 0;
  while (sum < ENOUGH) {
    count += 1;
    term *= mean / count;
    sum += term;
  }
  return count;
}
