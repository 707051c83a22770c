import { forecastReady } from '../../domain/scheduling/forecast.ts';
import type { Pool } from '../../domain/pool.ts';
import type { Queryable } from '../../db/database.ts';
import { demandOf } from '../../db/queries/demand.ts';
import { listPools } from '../../db/queries/pools.ts';
import type { Clock } from '../../platform/clock.ts';

/** A forecast is made anew this often. */
const EVERY_MS = 60_000;

/** How many workers of the pools with a forecast should be ready, looked up now and then. */
export class Forecasts {
  readonly #clock: Clock;
  #madeAt = -Infinity;
  #ready: ReadonlyMap<string, number> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async current(db: Queryable): Promise<ReadonlyMap<string, number>> {
    const at = this.#clock.monotonic();
    if (at - this.#madeAt < EVERY_MS) return this.#ready;
    const ready = new Map<string, number>();
    for (const row of await listPools(db)) {
      const { name, forecast } = JSON.parse(row.spec) as Pool;
      if (forecast !== 'on') continue;
      const counts = await demandOf(db, name);
      const demand = new Map(counts.map(({ slot, n }) => [Number(slot), Number(n)]));
      const since = Number(counts[0]?.slot ?? Infinity);
      ready.set(name, forecastReady(demand, since, this.#clock.now()));
    }
    this.#madeAt = at;
    this.#ready = ready;
    return ready;
  }
}
