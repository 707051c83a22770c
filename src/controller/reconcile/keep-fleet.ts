import { hostLabels } from '../../domain/scheduling/fit.ts';
import { Fleet } from '../../domain/scheduling/fleet.ts';
import { rulesNow, whyClosed } from '../../domain/scheduling/rules.ts';
import { isOpen } from '../../domain/window.ts';
import type { Queryable } from '../../db/database.ts';
import { findHost, findHostByName } from '../../db/queries/hosts.ts';
import { findOpenJob } from '../../db/queries/jobs.ts';
import { findWorker, liveWorkersOfHost } from '../../db/queries/workers.ts';
import type { Change } from '../change-bus.ts';
import {
  type FleetReader,
  queuedJob,
  runningJob,
  workerStatus,
  type FleetSources,
} from './read-fleet.ts';

/** What changed in the database since the fleet was brought up to date. */
interface Stale {
  all: boolean;
  pools: boolean;
  readonly jobs: Set<string>;
  readonly workers: Set<string>;
  readonly hostNames: Set<string>;
  /** Hosts of which any worker may have changed. */
  readonly hosts: Set<string>;
}

/**
 * Keeps the scheduler's fleet what the database says, by reading what changed and no more. Whatever
 * changes a row tells of it: a change of state as an event, one of a worker's goal by its host.
 */
export class FleetKeeper {
  readonly #reader: FleetReader;
  #fleet: Fleet | undefined;
  #stale = nothing();
  /** Maintenance windows that were open when hosts were looked at. */
  #maintained = '';
  /** Ids of hosts by name, for those that are removed. */
  readonly #ids = new Map<string, string>();

  constructor(reader: FleetReader) {
    this.#reader = reader;
  }

  note({ hosts, rows, all }: Change): void {
    if (all) this.forget();
    for (const id of hosts) this.#stale.hosts.add(id);
    for (const { kind, subject } of rows) {
      if (kind === 'job') this.#stale.jobs.add(subject);
      else if (kind === 'worker') this.#stale.workers.add(subject);
      else if (kind === 'host') this.#stale.hostNames.add(subject);
      else if (kind === 'pool') this.#stale.pools = true;
    }
  }

  /** Has all be read again the next time. */
  forget(): void {
    this.#stale.all = true;
  }

  /** The fleet as it is now. What fails to be read is read the next time. */
  async current(db: Queryable, sources: FleetSources): Promise<Fleet> {
    const stale = this.#stale;
    this.#stale = nothing();
    try {
      this.#fleet = await this.#upToDate(db, sources, stale);
    } catch (error) {
      this.forget();
      throw error;
    }
    return this.#fleet;
  }

  async #upToDate(db: Queryable, sources: FleetSources, stale: Stale): Promise<Fleet> {
    let fleet = this.#fleet;
    if (fleet === undefined || stale.all) {
      const view = await this.#reader.read(db, sources);
      fleet = Fleet.of(view);
      this.#ids.clear();
      for (const { id, name } of view.hosts) this.#ids.set(name, id);
      return fleet;
    }
    Object.assign(fleet, rulesNow(sources.rules, sources.now));
    await this.#readPools(db, fleet, stale, sources);
    for (const name of stale.hostNames) await this.#readHost(db, fleet, name, sources);
    for (const id of stale.hosts) await this.#readWorkersOf(db, fleet, id);
    for (const id of stale.workers) await this.#readWorker(db, fleet, id);
    for (const id of stale.jobs) await this.#readJob(db, fleet, id);
    for (const host of fleet.hosts.offline) {
      host.status = { ...host.status, silentForMs: sources.links.silentForMs(host.status.id) };
    }
    this.#closeHosts(fleet, sources);
    return fleet;
  }

  /** Maintenance begins and ends without an event. */
  #closeHosts(fleet: Fleet, { rules, now }: FleetSources): void {
    const key = rules.maintenance.filter(({ when }) => isOpen(when, now)).map(({ name }) => name);
    if (key.join(' ') === this.#maintained) return;
    this.#maintained = key.join(' ');
    for (const { status } of [...fleet.hosts.all]) {
      const labels = status.facts === undefined ? [] : hostLabels(status.facts);
      const closed = whyClosed(rules, labels, now) ?? status.full;
      fleet.setHost({ ...status, closed });
    }
  }

  /** Roll-outs count on without an event; schedules and forecasts change with time. */
  async #readPools(
    db: Queryable,
    fleet: Fleet,
    stale: Stale,
    sources: FleetSources,
  ): Promise<void> {
    const changes = fleet.pools.some(
      ({ rollout, pool: { schedule, forecast } }) =>
        rollout?.state === 'running' || schedule !== undefined || forecast === 'on',
    );
    if (!stale.pools && !changes) return;
    const { pools, rollouts } = await this.#reader.pools(db, sources);
    const names = new Set(pools.map(({ name }) => name));
    for (const { pool } of fleet.pools) if (!names.has(pool.name)) fleet.removePool(pool.name);
    for (const pool of pools) fleet.setPool(pool, rollouts.get(pool.name));
  }

  async #readHost(db: Queryable, fleet: Fleet, name: string, sources: FleetSources): Promise<void> {
    const row = await findHostByName(db, name);
    const known = this.#ids.get(name);
    if (known !== undefined && known !== row?.id) {
      fleet.removeHost(known);
      this.#ids.delete(name);
    }
    if (row === undefined) return;
    const isNew = fleet.hosts.get(row.id) === undefined;
    this.#ids.set(name, row.id);
    fleet.setHost(this.#reader.host(row, sources));
    if (isNew) await this.#readWorkersOf(db, fleet, row.id);
  }

  async #readWorkersOf(db: Queryable, fleet: Fleet, hostId: string): Promise<void> {
    const host = fleet.hosts.get(hostId);
    if (host === undefined) return;
    const rows = await liveWorkersOfHost(db, hostId);
    const live = new Set(rows.map(({ id }) => id));
    for (const id of [...host.workers.keys()]) if (!live.has(id)) fleet.removeWorker(id);
    for (const row of rows) fleet.setWorker(workerStatus(row));
    const wear = Number((await findHost(db, hostId))?.wear ?? 0);
    if (wear !== host.status.wear) fleet.setHost({ ...host.status, wear });
  }

  async #readWorker(db: Queryable, fleet: Fleet, id: string): Promise<void> {
    const row = await findWorker(db, id);
    if (row === undefined || row.state === 'destroyed') fleet.removeWorker(id);
    else fleet.setWorker(workerStatus(row));
  }

  async #readJob(db: Queryable, fleet: Fleet, id: string): Promise<void> {
    const row = await findOpenJob(db, id);
    if (row === undefined) fleet.removeJob(id);
    else if (row.state === 'queued') fleet.setQueued(queuedJob(row));
    else fleet.setRunning(runningJob(row));
  }
}

function nothing(): Stale {
  return {
    ...{ all: false, pools: false, jobs: new Set(), workers: new Set() },
    ...{ hostNames: new Set(), hosts: new Set() },
  };
}
