import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import type { StepEnd } from './execute.ts';
import type { BuildIndex } from './state/build-index.ts';
import type { FlightRow, ResultRow } from './state/index-rows.ts';
import { ownerIsAlive } from './state/owner.ts';
import { LogReader, StepLog } from './state/step-log.ts';

/** How often another process's flight is looked at. */
const LOOK_MS = 25;

/** How a step ended, for each that asked for it. A result is held until its holder releases it. */
export type FlightEnd =
  | { readonly kind: 'made'; readonly row: ResultRow; readonly how: 'made' | 'shared' }
  | { readonly kind: 'failed'; readonly ending: StepEnd; readonly log: string }
  | { readonly kind: 'cancelled' };

/** What making a step comes to: committed under its id, or not. */
export type Made = { readonly kind: 'committed' } | { readonly kind: 'failed'; ending: StepEnd };

export interface FlightPlan {
  readonly id: string;
  readonly heading: string;
  /**
   * Makes the step, commits it under its id, or leaves nothing. Called by one of all who ask for
   * the same step; `flight.log` is the name of its log.
   */
  make(log: StepLog, flight: FlightRow, signal: AbortSignal): Promise<Made>;
}

export interface FlightClient {
  readonly signal: AbortSignal;
  /** Gets the whole log, from its beginning, in order. */
  onOutput(chunk: Buffer): void | Promise<void>;
  /** Told once what this client waits for. */
  onShared?(): void;
}

/** A step that this process makes. */
interface LocalFlight {
  readonly row: FlightRow;
  readonly abort: AbortController;
  readonly log: Promise<StepLog>;
  readonly ended: Promise<Made>;
  over: boolean;
  /** Its result is held for those who still read. */
  committed: boolean;
  clients: number;
}

/**
 * Steps being made on one store: equal ones are made once, whatever asks for them, in this process
 * or another. A client that leaves stops only its own reading; the step ends when the last has left.
 * Whoever finds that the process which makes a step is gone makes it anew.
 */
export class Flights {
  readonly #index: BuildIndex;
  readonly #owner: string;
  readonly #logsDir: string;
  readonly #logLimit: number;
  readonly #now: () => number;
  readonly #local = new Map<string, LocalFlight>();

  constructor(
    index: BuildIndex,
    owner: string,
    logs: { readonly dir: string; readonly limitBytes: number },
    now: () => number,
  ) {
    this.#index = index;
    this.#owner = owner;
    this.#logsDir = logs.dir;
    this.#logLimit = logs.limitBytes;
    this.#now = now;
  }

  /** Returns how the step ended; throws what making it threw. */
  async join(plan: FlightPlan, client: FlightClient): Promise<FlightEnd> {
    for (;;) {
      if (client.signal.aborted) return { kind: 'cancelled' };
      const end = await this.#joinOnce(plan, client);
      if (end !== undefined) return end;
    }
  }

  async #joinOnce(plan: FlightPlan, client: FlightClient): Promise<FlightEnd | undefined> {
    const local = this.#local.get(plan.id);
    if (local !== undefined) {
      client.onShared?.();
      return this.#ride(local, client, 'shared');
    }
    const row = this.#index.beginFlight(plan.id, this.#owner, (attempt) =>
      logName(plan.id, attempt),
    );
    if (row.owner === this.#owner) return this.#lead(plan, row, client);
    if (await ownerIsAlive(row.owner)) {
      client.onShared?.();
      return this.#follow(row, client);
    }
    this.#index.forgetOwner(row.owner);
    const taken = this.#index.takeOverFlight(row, this.#owner, (attempt) =>
      logName(plan.id, attempt),
    );
    return taken === undefined ? undefined : this.#lead(plan, taken, client);
  }

  async #lead(
    plan: FlightPlan,
    row: FlightRow,
    client: FlightClient,
  ): Promise<FlightEnd | undefined> {
    // It may have been made between the look for it and the flight.
    const made = this.#index.useResult(plan.id, this.#owner, this.#now());
    if (made !== undefined) {
      this.#index.endFlight(row);
      return { kind: 'made', row: made, how: 'shared' };
    }
    const abort = new AbortController();
    const log = StepLog.create(join(this.#logsDir, row.log), this.#logLimit);
    const flight: LocalFlight = {
      ...{ row, abort, log, over: false, committed: false, clients: 0 },
      ended: log.then((open) => this.#make(plan, row, open, abort.signal)),
    };
    this.#local.set(plan.id, flight);
    const over = (made?: Made) => {
      flight.over = true;
      flight.committed = made?.kind === 'committed';
      this.#local.delete(plan.id);
      this.#letGo(flight);
    };
    flight.ended.then(over, () => over());
    return this.#ride(flight, client, 'made');
  }

  async #make(plan: FlightPlan, row: FlightRow, log: StepLog, signal: AbortSignal): Promise<Made> {
    try {
      const made = await plan.make(log, row, signal);
      if (made.kind === 'failed') {
        if ('cancelled' in made.ending) this.#index.endFlight(row);
        else this.#index.failFlight(row, plan.heading, made.ending, this.#now());
      }
      return made;
    } catch (error) {
      this.#index.endFlight(row);
      throw error;
    } finally {
      await log.close();
    }
  }

  /** Reads along with a flight of this process until it is over. */
  async #ride(
    flight: LocalFlight,
    client: FlightClient,
    how: 'made' | 'shared',
  ): Promise<FlightEnd | undefined> {
    flight.clients += 1;
    const left = aborted(client.signal);
    const reader = new LogReader(join(this.#logsDir, flight.row.log));
    const over = flight.ended.then(
      () => undefined,
      () => undefined,
    );
    try {
      const log = await flight.log;
      while (!flight.over && !client.signal.aborted) {
        const { grew } = log;
        await reader.drain((chunk) => client.onOutput(chunk));
        if (!flight.over) await Promise.race([grew, over, left.happened]);
      }
      if (!flight.over) return { kind: 'cancelled' };
      await reader.drain((chunk) => client.onOutput(chunk));
      return this.#endOf(await flight.ended, flight.row, how);
    } finally {
      left.stop();
      await reader.close();
      flight.clients -= 1;
      if (flight.over) this.#letGo(flight);
      else if (flight.clients === 0) await this.#endUnlessWaited(flight);
    }
  }

  /** The last one takes back the hold that kept the result for all. */
  #letGo(flight: LocalFlight): void {
    if (flight.clients > 0 || !flight.committed) return;
    flight.committed = false;
    this.#index.release(flight.row.id, this.#owner);
  }

  #endOf(made: Made, row: FlightRow, how: 'made' | 'shared'): FlightEnd | undefined {
    if (made.kind === 'failed') {
      // Cancelled by those who were on it before this client came: it is made anew.
      if ('cancelled' in made.ending) return undefined;
      return { kind: 'failed', ending: made.ending, log: row.log };
    }
    const result = this.#index.useResult(row.id, this.#owner, this.#now());
    return result === undefined ? undefined : { kind: 'made', row: result, how };
  }

  /** Nobody here wants it any more; perhaps someone of another process does. */
  async #endUnlessWaited(flight: LocalFlight): Promise<void> {
    for (const owner of this.#index.waiters(flight.row.id)) {
      if (await ownerIsAlive(owner)) return;
    }
    if (flight.clients === 0) flight.abort.abort();
  }

  /** Reads along with a flight of another process. Undefined: it ended without an end. */
  async #follow(row: FlightRow, client: FlightClient): Promise<FlightEnd | undefined> {
    const { id, attempt } = row;
    const reader = new LogReader(join(this.#logsDir, row.log));
    this.#index.wait(id, this.#owner);
    try {
      for (;;) {
        if (client.signal.aborted) return { kind: 'cancelled' };
        const there = this.#index.flight(id)?.attempt === attempt;
        await reader.drain((chunk) => client.onOutput(chunk));
        if (!there) break;
        if (!(await ownerIsAlive(row.owner))) return undefined;
        await sleep(LOOK_MS, undefined, { signal: client.signal }).catch(() => undefined);
      }
    } finally {
      this.#index.stopWaiting(id, this.#owner);
      await reader.close();
    }
    const made = this.#index.useResult(id, this.#owner, this.#now());
    if (made !== undefined) return { kind: 'made', row: made, how: 'shared' };
    const failure = this.#index.failure(id, attempt);
    if (failure === undefined) return undefined;
    return { kind: 'failed', ending: JSON.parse(failure.ending) as StepEnd, log: failure.log };
  }

  /** Whether others wait for what this process makes. */
  async waitedFor(): Promise<boolean> {
    for (const { row } of this.#local.values()) {
      for (const owner of this.#index.waiters(row.id)) if (await ownerIsAlive(owner)) return true;
    }
    return false;
  }

  /** Ends what nobody waits for, and waits until all is over. An abort ends the rest as well. */
  async close(signal: AbortSignal): Promise<void> {
    const end = () => {
      for (const { abort } of this.#local.values()) abort.abort();
    };
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    for (const flight of this.#local.values()) {
      if (flight.clients === 0) await this.#endUnlessWaited(flight);
    }
    await Promise.allSettled([...this.#local.values()].map(({ ended }) => ended));
    signal.removeEventListener('abort', end);
  }
}

function logName(id: string, attempt: number): string {
  return `${id.slice(0, 40)}.${attempt}.log`;
}

function aborted(signal: AbortSignal): { happened: Promise<void>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const listener = () => resolve();
  if (signal.aborted) resolve();
  signal.addEventListener('abort', listener);
  return { happened: promise, stop: () => signal.removeEventListener('abort', listener) };
}
