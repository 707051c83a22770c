import type { Database, Queryable } from '../db/database.ts';
import { ChangeBus, ANYTHING } from '../controller/change-bus.ts';
import type { Context } from '../controller/context.ts';
import { HostLinks } from '../controller/host-links.ts';
import { Leases } from '../controller/leases.ts';
import { Reconciler } from '../controller/reconcile/reconciler.ts';
import { hearOthers } from '../controller/relay.ts';
import { Secrets } from '../controller/secrets.ts';
import { AgentSessions } from '../controller/sessions/agent-sessions.ts';
import type { FleetRules } from '../domain/scheduling/rules.ts';
import type { Logger } from '../platform/logger.ts';
import type { Network, SimSocket } from './network.ts';
import { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** The wall clock of all at the beginning. */
export const EPOCH = Date.UTC(2026, 0, 5);
const FLEET = 'f00f00';
const KEY = Buffer.alloc(32);

/** What controllers share. */
export interface Shared {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly network: Network;
  readonly db: Database;
  readonly rules: FleetRules;
  readonly hostLostAfterMs: number;
  readonly log: Logger;
  /** Share of the transactions that the database refuses. */
  conflicts: number;
  /** Others that listen to the database. */
  readonly listeners: Set<{ readonly name: string; hear(text: string): void }>;
  newId(prefix: string, now: number): string;
}

/** A controller's process: its own parts, on the virtual clock, network and database. */
export class SimController {
  readonly name: string;
  readonly process: SimProcess;
  readonly context: Context;
  readonly sockets = new Set<SimSocket>();
  readonly #shared: Shared;
  readonly #sessions: AgentSessions;
  /** How far its wall clock is off. */
  skewMs = 0;

  constructor(name: string, shared: Shared) {
    this.name = name;
    this.#shared = shared;
    this.process = new SimProcess(shared.time);
    const { time } = shared;
    const bus = new ChangeBus();
    this.context = {
      db: this.#database(),
      bus,
      log: shared.log,
      newId: (prefix, now) => shared.newId(prefix, now),
      ...{ fleet: FLEET, controllerId: `${name}.${shared.newId('c', time.now)}` },
      clock: {
        now: () => Math.round(EPOCH + time.now + this.skewMs),
        monotonic: () => time.now,
        every: (ms, work) => this.process.every(ms, work),
      },
    };
    const { clock, controllerId } = this.context;
    const links = new HostLinks(clock);
    const leases = new Leases(this.context, {
      live: (controllers) => {
        if (links.setLive(controllers)) bus.publish(ANYTHING);
      },
      alone: () => this.#sessions.closeAll('the controller does not reach its database'),
    });
    this.#sessions = new AgentSessions(this.context, new Secrets(this.context, KEY), KEY);
    new Reconciler(this.context, {
      ...{ links, lease: leases.want('scheduling'), rules: shared.rules },
      hostLostAfterMs: shared.hostLostAfterMs,
    });
    hearOthers(this.context.db, controllerId, bus);
    void leases.tick();
  }

  /** An agent connects. */
  accept(socket: SimSocket, host: { readonly id: string; readonly name: string }): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    this.#sessions.attach(socket, host);
  }

  kill(): void {
    this.process.kill();
    for (const socket of this.sockets) socket.abandon();
  }

  /**
   * The shared database as this process reaches it: each transaction is under way for a while, some are
   * refused, and while it is cut off none comes through.
   */
  #database(): Database {
    const { db, network, random, time } = this.#shared;
    const reach = async (): Promise<void> => {
      if (!network.isCut(this.name, 'database')) return;
      await this.process.sleep(2_000);
      throw new Error('the database does not answer');
    };
    return {
      ...{ shared: true, dialect: (statement) => statement },
      all: async (sql, params) => {
        await reach();
        return db.all(sql, params);
      },
      get: async (sql, params) => {
        await reach();
        return db.get(sql, params);
      },
      run: async (sql, params) => {
        await reach();
        return db.run(sql, params);
      },
      transaction: async (work) => {
        await this.process.sleep(network.delay());
        await reach();
        if (random.chance(this.#shared.conflicts)) throw new Error('the database is in conflict');
        return db.transaction(work);
      },
      flush: () => reach(),
      now: async () => {
        await reach();
        return Math.round(EPOCH + time.now);
      },
      tell: async (_tx: Queryable, _channel: string, text: string) => {
        for (const { name, hear } of this.#shared.listeners) {
          network.send('database', name, () => hear(text));
        }
      },
      listen: (_channel, listener, missed) => {
        const listening = {
          name: this.name,
          hear: (text: string) => this.process.enter(() => listener(text)),
        };
        this.#shared.listeners.add(listening);
        // A cut that ends is a connection made anew.
        let wasCut = false;
        this.process.every(1_000, () => {
          const isCut = network.isCut(this.name, 'database');
          if (wasCut && !isCut) missed();
          wasCut = isCut;
        });
        return { close: async () => void this.#shared.listeners.delete(listening) };
      },
      close: async () => undefined,
    };
  }
}
