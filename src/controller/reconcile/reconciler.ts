import { decideFleet } from '../../domain/scheduling/decide.ts';
import type { FleetView } from '../../domain/scheduling/fleet-view.ts';
import type { Context } from '../context.ts';
import type { AgentSessions } from '../sessions/agent-sessions.ts';
import type { Backoffs } from './backoffs.ts';
import { carryOut } from './carry-out.ts';
import { FleetReader } from './read-fleet.ts';

/** A pass runs at least this often, for what time alone changes. */
const TICK_MS = 1_000;

/**
 * Reads the fleet, decides, carries out; again after every change, and each second. One pass at a
 * time; changes during a pass lead to one more.
 */
export class Reconciler {
  readonly #context: Context;
  readonly #sessions: AgentSessions;
  readonly #backoffs: Backoffs;
  readonly #hostLostAfterMs: number;
  readonly #reader = new FleetReader();
  readonly #unlisten: () => void;
  readonly #tick: NodeJS.Timeout;
  #due = false;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(
    context: Context,
    parts: { sessions: AgentSessions; backoffs: Backoffs; hostLostAfterMs: number },
  ) {
    this.#context = context;
    this.#sessions = parts.sessions;
    this.#backoffs = parts.backoffs;
    this.#hostLostAfterMs = parts.hostLostAfterMs;
    this.#unlisten = context.bus.listen(() => this.wake());
    this.#tick = setInterval(() => this.wake(), TICK_MS);
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

  /** The fleet as the next decision would see it. */
  view(): Promise<FleetView> {
    return this.#reader.read(this.#context.db, {
      now: this.#context.clock.now(),
      hostLostAfterMs: this.#hostLostAfterMs,
      backoffs: this.#backoffs.current,
      link: (hostId) => this.#sessions.link(hostId),
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#tick);
    this.#unlisten();
    await this.#running;
  }

  async #run(): Promise<void> {
    // What a burst of requests changes in one turn of the event loop is decided in one pass.
    await nextTurn();
    while (this.#due && !this.#closed) {
      this.#due = false;
      try {
        const actions = decideFleet(await this.view());
        if (actions.length > 0) await carryOut(this.#context, actions);
      } catch (error) {
        // The next tick tries again on a fresh reading.
        this.#context.log.log('error', 'a scheduling pass failed', { error });
        return;
      }
      await nextTurn();
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
