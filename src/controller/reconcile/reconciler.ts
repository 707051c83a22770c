import { decide } from '../../domain/scheduling/decide.ts';
import type { FleetRules } from '../../domain/scheduling/rules.ts';
import type { FleetView } from '../../domain/scheduling/fleet-view.ts';
import type { Context } from '../context.ts';
import type { HostLinks } from '../host-links.ts';
import { LeaseLostError, type Lease } from '../leases.ts';
import { readBackoffs } from './backoffs.ts';
import { carryOut } from './carry-out.ts';
import { Forecasts } from './forecasts.ts';
import { FleetKeeper } from './keep-fleet.ts';
import { FleetReader, type FleetSources } from './read-fleet.ts';

/** A pass runs at least this often, for what time alone changes. */
const TICK_MS = 1_000;
/** All is read anew this often, whatever was told of. */
const READ_ALL_MS = 300_000;

/**
 * Reads the fleet, decides, carries out; again after every change, and each second. One pass at a
 * time; changes during a pass lead to one more.
 */
export class Reconciler {
  readonly #context: Context;
  readonly #links: HostLinks;
  readonly #lease: Lease;
  readonly #hostLostAfterMs: number;
  readonly #rules: FleetRules;
  readonly #reader = new FleetReader();
  readonly #keeper = new FleetKeeper(this.#reader);
  readonly #forecasts: Forecasts;
  #readAllAt: number;
  readonly #undo: () => void;
  readonly #stopTicking: () => void;
  #due = false;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(
    context: Context,
    parts: {
      links: HostLinks;
      lease: Lease;
      hostLostAfterMs: number;
      rules: FleetRules;
    },
  ) {
    this.#lease = parts.lease;
    this.#context = parts.lease.fence(context);
    this.#links = parts.links;
    this.#hostLostAfterMs = parts.hostLostAfterMs;
    this.#forecasts = new Forecasts(context.clock);
    this.#rules = parts.rules;
    this.#readAllAt = context.clock.monotonic() + READ_ALL_MS;
    const unlisten = context.bus.listen((changed) => {
      this.#keeper.note(changed);
      this.wake();
    });
    // What happened while another decided was not noted here.
    const unwatch = parts.lease.onTaken(() => this.readAll());
    this.#undo = () => {
      unlisten();
      unwatch();
    };
    this.#stopTicking = context.clock.every(TICK_MS, () => this.wake());
    this.wake();
  }

  /** Asks for a pass soon. */
  wake(): void {
    this.#due = true;
    if (this.#closed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Has the next pass read all anew. */
  readAll(): void {
    this.#keeper.forget();
    this.wake();
  }

  /** The fleet as the next decision would see it. */
  async view(): Promise<FleetView> {
    return this.#reader.read(this.#context.db, await this.#sources());
  }

  async #sources(): Promise<FleetSources> {
    const now = this.#context.clock.now();
    return {
      ...{ now, hostLostAfterMs: this.#hostLostAfterMs },
      ...{ rules: this.#rules, links: this.#links },
      backoffs: await readBackoffs(this.#context.db, now),
      forecasts: await this.#forecasts.current(this.#context.db),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTicking();
    this.#undo();
    await this.#running;
  }

  async #run(): Promise<void> {
    // What a burst of requests changes in one turn of the event loop is decided in one pass.
    await nextTurn();
    while (this.#due && !this.#closed && this.#lease.held) {
      this.#due = false;
      try {
        const sources = await this.#sources();
        const now = this.#context.clock.monotonic();
        if (now >= this.#readAllAt) {
          this.#keeper.forget();
          this.#readAllAt = now + READ_ALL_MS;
        }
        const actions = decide(await this.#keeper.current(this.#context.db, sources), sources);
        if (actions.length > 0) await carryOut(this.#context, actions);
      } catch (error) {
        // The next tick tries again on a fresh reading.
        this.#keeper.forget();
        const level = error instanceof LeaseLostError ? 'info' : 'error';
        this.#context.log.log(level, 'a scheduling pass failed', { error });
        return;
      }
      await nextTurn();
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
