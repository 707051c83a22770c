import { randomBytes } from 'node:crypto';
import type { Database, Queryable } from '../db/database.ts';
import { listHosts } from '../db/queries/hosts.ts';
import {
  deleteLeasesExpiredBefore,
  findLease,
  giveUpLeases,
  listLeases,
  renewLeases,
  saveLease,
} from '../db/queries/leases.ts';
import type { ControllerView } from '../protocol/api/resources.ts';
import type { Context } from './context.ts';

/** A controller that says nothing for so long has lost what it held. */
export const LEASE_MS = 5_000;
const TICK_MS = 1_000;
/** A holder believes in its lease so much shorter than others do. */
const MARGIN_MS = 1_000;
const FORGET_MS = 3_600_000;
/** Leases by which controllers say that they live. */
const ALIVE = 'controller:';

/** Told which controllers live. */
export interface LivenessListener {
  /** Now and then. */
  live(controllers: ReadonlySet<string>): void;
  /** Others do not take this controller for alive any more: it does not reach the database. */
  alone(): void;
}

/** An id of a controller's process that tells the controller's name. */
export function controllerIdOf(name: string): string {
  return `${name}.${randomBytes(4).toString('hex')}`;
}

/** The controllers that live, with what they hold. */
export async function liveControllers(db: Database): Promise<ControllerView[]> {
  const now = await db.now();
  const rows = (await listLeases(db)).filter((row) => row.expires_at > now);
  const hosts = await listHosts(db);
  return rows
    .filter(({ name }) => name.startsWith(ALIVE))
    .map(({ holder }) => ({
      ...{ id: holder, name: holder.slice(0, holder.lastIndexOf('.')) },
      leases: rows
        .filter((row) => row.holder === holder && !row.name.startsWith(ALIVE))
        .map(({ name }) => name),
      hosts: hosts.filter((row) => row.session_holder === holder).length,
    }));
}

/** Thrown when another controller has taken over what this one wanted to change. */
export class LeaseLostError extends Error {
  readonly code = 'lease_lost';
}

/**
 * What only one controller does at a time: it has a lease for it, renewed as long as it lives. Another
 * takes over when the lease ran out, under the next epoch; what the earlier holder still writes is
 * refused, also when it stood still for a while and does not know.
 */
export class Leases {
  readonly #context: Context;
  readonly #wanted = new Map<string, Lease>();
  readonly #stopTicking: () => void;
  readonly #listener: LivenessListener;
  /** Until when others take this controller for alive, as far as it knows by itself. */
  #aliveUntil = Infinity;
  #ticking: Promise<void> | undefined;
  #closed = false;

  constructor(context: Context, listener: LivenessListener) {
    this.#context = context;
    this.#listener = listener;
    this.#stopTicking = context.clock.every(TICK_MS, () => {
      this.#lookWhetherAlone();
      void this.tick();
    });
  }

  #lookWhetherAlone(): void {
    if (this.#context.clock.monotonic() < this.#aliveUntil) return;
    this.#aliveUntil = Infinity;
    this.#listener.alone();
  }

  /** Has a lease from soon on, whenever no other controller has it. */
  want(name: string): Lease {
    let lease = this.#wanted.get(name);
    if (lease === undefined) {
      lease = new Lease(name, this.#context);
      this.#wanted.set(name, lease);
    }
    return lease;
  }

  /** Renews what is held, takes what is free. One at a time; never throws. */
  tick(): Promise<void> {
    this.#ticking ??= this.#tick()
      .catch((error: unknown) => {
        this.#context.log.log('warn', 'leases were not renewed', { error });
      })
      .finally(() => {
        this.#ticking = undefined;
      });
    return this.#ticking;
  }

  async #tick(): Promise<void> {
    if (this.#closed) return;
    const { db, clock, controllerId } = this.#context;
    const startedAt = clock.monotonic();
    const live = new Set<string>();
    const held = new Map<Lease, number>();
    const now = await db.now();
    await db.transaction(async (tx) => {
      await renewLeases(tx, controllerId, now + LEASE_MS);
      const name = ALIVE + controllerId;
      const mine = { holder: controllerId, expires_at: now + LEASE_MS };
      await saveLease(tx, { name, epoch: 1, ...mine });
      const rows = new Map((await listLeases(tx)).map((row) => [row.name, row]));
      for (const lease of this.#wanted.values()) {
        const row = rows.get(lease.name);
        const free = row === undefined || row.expires_at <= now;
        // Held by us under another epoch: by a promise that was not kept.
        if (!free && row.holder !== controllerId) continue;
        const epoch = free || row.epoch !== lease.epoch ? (row?.epoch ?? 0) + 1 : row.epoch;
        if (epoch !== row?.epoch) await saveLease(tx, { name: lease.name, epoch, ...mine });
        held.set(lease, epoch);
      }
      for (const row of rows.values()) {
        if (row.name.startsWith(ALIVE) && row.expires_at > now) live.add(row.holder);
      }
      await deleteLeasesExpiredBefore(tx, ALIVE, now - FORGET_MS);
    });
    const until = startedAt + LEASE_MS - MARGIN_MS;
    for (const lease of this.#wanted.values()) lease.renewed(held.get(lease), until);
    this.#aliveUntil = until;
    this.#listener.live(live);
  }

  /** Lets others have at once what this controller holds. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTicking();
    await this.#ticking;
    for (const lease of this.#wanted.values()) lease.renewed(undefined, 0);
    const { db, controllerId } = this.#context;
    await db.transaction((tx) => giveUpLeases(tx, controllerId)).catch(() => undefined);
  }
}

/** One thing that one controller does at a time. */
export class Lease {
  readonly name: string;
  readonly #context: Context;
  readonly #listeners = new Set<() => void>();
  #epoch: number | undefined;
  #until = 0;

  constructor(name: string, context: Context) {
    this.name = name;
    this.#context = context;
  }

  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** Whether this controller has it now, as far as it knows by itself. */
  get held(): boolean {
    return this.#epoch !== undefined && this.#context.clock.monotonic() < this.#until;
  }

  /** Calls `listener` each time it is had anew. Returns the way to stop. */
  onTaken(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  renewed(epoch: number | undefined, until: number): void {
    const isNew = epoch !== undefined && epoch !== this.#epoch;
    this.#epoch = epoch;
    this.#until = until;
    if (isNew) for (const listener of this.#listeners) listener();
  }

  /** The same, but its transactions are refused once another controller has the lease. */
  fence(context: Context): Context {
    const { db } = context;
    const fenced: Database = {
      shared: db.shared,
      dialect: (statement) => db.dialect(statement),
      all: (sql, params) => db.all(sql, params),
      get: (sql, params) => db.get(sql, params),
      run: (sql, params) => db.run(sql, params),
      transaction: (work) =>
        db.transaction(async (tx) => {
          await this.#check(tx);
          return work(tx);
        }),
      flush: () => db.flush(),
      now: () => db.now(),
      tell: (tx, channel, text) => db.tell(tx, channel, text),
      listen: (channel, listener, missed) => db.listen(channel, listener, missed),
      close: () => db.close(),
    };
    return { ...context, db: fenced };
  }

  async #check(tx: Queryable): Promise<void> {
    const row = await findLease(tx, this.name);
    const { controllerId } = this.#context;
    if (this.#epoch !== undefined && row?.holder === controllerId && row.epoch === this.#epoch) {
      return;
    }
    throw new LeaseLostError(`another controller has ${this.name}`);
  }
}
