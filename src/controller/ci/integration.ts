import { setTimeout as sleep } from 'node:timers/promises';
import type { TrustRules } from '../../domain/ci/trust.ts';
import type { ClassRules } from '../../domain/ci/decide.ts';
import type { Route } from '../../domain/ci/routes.ts';
import type { Pool } from '../../domain/pool.ts';
import {
  CiError,
  type CiDriver,
  type CiNews,
  type CiTools,
  type Delivery,
} from '../../drivers/ci/ci.ts';
import { findPause } from '../../db/queries/ci/pauses.ts';
import { knowsDelivery, noteDelivery } from '../../db/queries/ci/jobs.ts';
import { Backoff } from '../../platform/backoff.ts';
import { limiter } from '../../platform/limiter.ts';
import { change, type Context } from '../context.ts';
import type { Lease } from '../leases.ts';
import type { Secrets } from '../secrets.ts';
import { balance, type BalanceRules } from './balance.ts';
import { Goodbyes } from './goodbyes.ts';
import { Health } from './health.ts';
import { Preparing } from './preparing.ts';
import { takeInLook, takeInNews, type Reading } from './take-in.ts';

/** What the configuration says of one integration, whatever its CI system is. */
export interface IntegrationSettings extends ClassRules {
  readonly name: string;
  readonly kind: string;
  readonly routes: readonly Route[];
  readonly trust: TrustRules;
  readonly max: number;
  /** How often the CI system is looked at in any case. */
  readonly lookMs: number;
}

/** An integration as the configuration orders it. */
export interface IntegrationOrder {
  readonly settings: IntegrationSettings;
  open(tools: CiTools): CiDriver;
}

export interface IntegrationParts {
  readonly driver: CiDriver;
  readonly secrets: Secrets;
  /** While this controller has it, it is the one that sees to the integration. */
  readonly lease: Lease;
  pools(): Promise<readonly Pool[]>;
  /** The end of a job's log. */
  tailOf(jobId: string, epoch: number): Promise<string>;
}

/** News and changes that come together are seen to in one pass. */
const GATHER_MS = 20;
/** A pass runs at least this often while there is something to see to. */
const TICK_MS = 1_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** Deliveries whose news are being found out at once. */
const DELIVERIES_AT_ONCE = 8;
const DELIVERY_TIMEOUT_MS = 60_000;

/**
 * Keeps the runners of one integration what its CI system wants. It looks there now and then, is
 * told news in between, and after either makes the numbers right. A look that fails changes nothing.
 */
export class Integration {
  readonly settings: IntegrationSettings;
  readonly health: Health;
  readonly driver: CiDriver;
  readonly #context: Context;
  /** Refuses to write once another controller sees to the integration. */
  readonly #fenced: Context;
  readonly #parts: IntegrationParts;
  readonly #preparing: Preparing;
  readonly #goodbyes: Goodbyes;
  readonly #stop = new AbortController();
  readonly #deliveriesInTurn = limiter(DELIVERIES_AT_ONCE);
  readonly #deliveries = new Set<Promise<void>>();
  readonly #unlisten: () => void;
  readonly #tick: NodeJS.Timeout;
  readonly #tasks: Promise<void>[];
  #due = true;
  #wake: (() => void) | undefined;
  #lookNow = true;
  /** It was seen to by another before. */
  #isNew = true;
  #lookFails = 0;
  #lookAfter = 0;

  constructor(context: Context, settings: IntegrationSettings, parts: IntegrationParts) {
    this.settings = settings;
    this.driver = parts.driver;
    this.#context = context;
    this.#fenced = parts.lease.fence(context);
    this.#parts = parts;
    this.health = new Health(context.clock);
    const shared = {
      ...{ integration: settings.name, driver: parts.driver },
      failed: (what: string, error: unknown) => this.#failed(what, error),
      done: () => this.poke(),
    };
    this.#preparing = new Preparing(this.#fenced, { ...shared, ...parts });
    this.#goodbyes = new Goodbyes(this.#fenced, { ...shared, tailOf: parts.tailOf });
    const unlisten = context.bus.listen(() => this.poke());
    const unwatch = parts.lease.onTaken(() => this.#taken());
    this.#unlisten = () => {
      unlisten();
      unwatch();
    };
    this.#tick = setInterval(() => this.poke(), Math.min(TICK_MS, settings.lookMs));
    this.#tasks = [this.#run(), this.#follow()];
  }

  /** Whether this controller sees to it. */
  get isHere(): boolean {
    return this.#parts.lease.held;
  }

  #taken(): void {
    this.#isNew = true;
    this.poke({ look: true });
  }

  /** Asks for a pass soon; with `look`, for one that looks at the CI system. */
  poke(options: { readonly look?: boolean } = {}): void {
    if (options.look === true) this.#lookNow = true;
    this.#due = true;
    this.#wake?.();
  }

  /** Looks at once, also when it rests after a failure. */
  tryAgain(): void {
    this.#lookAfter = 0;
    this.poke({ look: true });
  }

  get rules(): BalanceRules {
    const { name, idleMs, registerMs, standbyMs, routes, trust, max } = this.settings;
    return {
      ...{ integration: name, idleMs, registerMs, standbyMs, routes, trust, max },
      impliedLabels: this.driver.impliedLabels,
      meaningOf: (exitCode) => this.driver.meaningOf?.(exitCode),
    };
  }

  /** Takes in a webhook's delivery; answers before what it means was found out. */
  async receive(delivery: Delivery): Promise<'accepted' | 'known'> {
    const { name } = this.settings;
    if (this.driver.receive === undefined) {
      throw new CiError('unauthorized', 'it takes no webhooks: set webhookSecret');
    }
    const received = await this.driver.receive(delivery);
    this.health.event(received.what);
    if (await knowsDelivery(this.#context.db, name, received.id)) return 'known';
    const work = this.#deliveriesInTurn(async () => {
      const within = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(DELIVERY_TIMEOUT_MS)]);
      await this.#takeIn(await received.news(within));
      // Only now: what was not taken in may be delivered again.
      const at = this.#context.clock.now();
      await noteDelivery(this.#context.db, { integration: name, id: received.id, at });
    })
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#failed(`the delivery ${received.what}`, error);
        this.poke({ look: true });
        if (received.once === true) throw error;
      })
      .finally(() => void this.#deliveries.delete(work));
    this.#deliveries.add(work);
    if (received.once === true) {
      await work;
      // It is not told again: on the disk before anybody is told that it arrived.
      await this.#context.db.flush();
    }
    return 'accepted';
  }

  async close(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#tick);
    this.#unlisten();
    this.#wake?.();
    await Promise.allSettled([...this.#tasks, ...this.#deliveries]);
    await Promise.all([this.#preparing.idle(), this.#goodbyes.idle()]);
  }

  get #reading(): Reading {
    const { exact, serves, takeNoMore } = this.driver;
    const many = serves === 'many';
    return { integration: this.settings.name, exact, many, takesMore: takeNoMore !== undefined };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#due = false;
      try {
        if (!this.isHere) {
          await this.#untilDue();
          continue;
        }
        if (this.#isNew) await this.#preparing.recover();
        this.#isNew = false;
        if (this.#lookIsDue()) await this.#look(signal);
        await this.#pass(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed('a pass', error);
      }
      await this.#tellHealth();
      await this.#untilDue();
    }
  }

  /** The other controllers answer for it, too. */
  async #tellHealth(): Promise<void> {
    const { db, log } = this.#context;
    if (!db.shared) return;
    await this.health.tell(db, this.settings.name).catch((error: unknown) => {
      log.log('warn', 'how an integration does cannot be told', { error });
    });
  }

  async #untilDue(): Promise<void> {
    if (!this.#due && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
  }

  #lookIsDue(): boolean {
    const now = this.#context.clock.monotonic();
    if (now < this.#lookAfter) return false;
    return this.#lookNow || this.health.sinceLookMs() >= this.settings.lookMs;
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock } = this.#context;
    const startedAt = clock.now();
    this.#lookNow = false;
    try {
      const view = await this.driver.look(signal);
      const missing = await change(this.#fenced, (changes) =>
        takeInLook(changes, this.#reading, view, startedAt),
      );
      this.#lookFails = 0;
      this.health.looked(view.jobs.length);
      await this.#goodbyes.seeMissing(missing, signal);
      await this.#goodbyes.removeGhosts(view.runners, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      this.#lookFails += 1;
      const rest = Math.min(FIRST_RETRY_MS * 2 ** (this.#lookFails - 1), LONGEST_RETRY_MS);
      const told = error instanceof CiError ? (error.retryAt ?? 0) - clock.now() : 0;
      this.#lookAfter = clock.monotonic() + Math.max(rest, told);
      this.#lookNow = true;
      this.#failed('a look', error);
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    // Nothing is decided before the first look: what was known may be long past.
    const { lookedAt } = this.health;
    if (lookedAt !== undefined) {
      const pools = await this.#parts.pools();
      await change(this.#fenced, (changes) => balance(changes, this.rules, pools, lookedAt));
    }
    await this.#preparing.start(signal);
    await this.#goodbyes.start(signal);
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    const { driver } = this;
    if (driver.follow === undefined) return;
    const backoff = new Backoff(FIRST_RETRY_MS, LONGEST_RETRY_MS);
    while (!signal.aborted) {
      let told: Promise<void> = Promise.resolve();
      if (!this.isHere) {
        await sleep(TICK_MS, undefined, { signal }).catch(() => undefined);
        continue;
      }
      const leaving = new AbortController();
      const watch = setInterval(() => {
        if (!this.isHere) leaving.abort();
      }, TICK_MS);
      try {
        await driver.follow(
          (news) => {
            backoff.succeeded();
            this.health.event('news');
            told = told
              .then(() => this.#takeIn(news))
              .catch((error: unknown) => this.#failed('taking in news', error));
          },
          AbortSignal.any([signal, leaving.signal]),
        );
      } catch (error) {
        if (!signal.aborted && !leaving.signal.aborted) {
          this.#failed('following the CI system', error);
        }
      } finally {
        clearInterval(watch);
      }
      await told;
      // What happened meanwhile is found by looking.
      this.poke({ look: true });
      await backoff.wait(signal).catch(() => undefined);
    }
  }

  async #takeIn(news: CiNews): Promise<void> {
    await change(this.#context, (changes) => takeInNews(changes, this.#reading, news));
    this.poke({ look: news.look === true });
  }

  #failed(what: string, error: unknown): void {
    this.health.failed(what, error);
    const { name } = this.settings;
    this.#context.log.log('warn', `integration ${name}: ${what} failed`, { error });
  }

  /** Why it makes no runners now, if it does not. */
  async pausedBecause(): Promise<string | undefined> {
    return (await findPause(this.#context.db, this.settings.name))?.reason;
  }
}
