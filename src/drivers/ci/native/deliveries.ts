import type { CiHttp } from '../http/http.ts';
import { deliveriesSchema } from './wire.ts';

const EVERY_MS = 60_000;
/** Older ones are not tried again. */
const BACK_MS = 6 * 3_600_000;
/** How often GitHub is asked to deliver one again. */
const MOST_TRIES = 20;

/**
 * GitHub delivers a webhook once. This asks the App for those that did not arrive, and has GitHub
 * deliver them again: an event that came while no controller answered is late, not lost.
 */
export class FailedDeliveries {
  readonly #asApp: CiHttp;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(asApp: CiHttp) {
    this.#asApp = asApp;
  }

  /** At most once a minute. `now`: wall-clock ms. */
  async sweep(now: number, signal: AbortSignal): Promise<void> {
    if (now - this.#sweptAt < EVERY_MS) return;
    this.#sweptAt = now;
    const path = 'app/hook/deliveries?per_page=100';
    const what = "the App's deliveries";
    const all = await this.#asApp.get({ path, schema: deliveriesSchema, what }, signal);
    const recent = all.filter(({ delivered_at: at }) => now - Date.parse(at) < BACK_MS);
    for (const tries of Map.groupBy(recent, ({ guid }) => guid).values()) {
      const arrived = tries.some(({ status_code: status }) => status >= 200 && status < 500);
      const [first] = tries;
      if (arrived || first === undefined || tries.length > MOST_TRIES) continue;
      await this.#asApp.ask(
        {
          ...{ method: 'POST', path: `app/hook/deliveries/${first.id}/attempts` },
          what: `the delivery ${first.id} once more`,
        },
        signal,
      );
    }
  }
}
