import type { Pool } from '../../domain/pool.ts';
import { factsOf, findHostByName, listHosts, type HostRow } from '../../db/queries/hosts.ts';
import { findJob, openJobRows, recentlyFinished } from '../../db/queries/jobs.ts';
import { findWorker, liveWorkers, type WorkerRow } from '../../db/queries/workers.ts';
import type { Live, LiveHost, LiveJob } from '../../protocol/api/live-resources.ts';
import type { WorkerView } from '../../protocol/api/resources.ts';
import type { Change } from '../change-bus.ts';
import type { Context } from '../context.ts';
import type { HostLinks } from '../host-links.ts';
import { poolsNow } from '../pools-now.ts';
import { workerView, type WorkersHost } from '../views.ts';
import { LiveRows } from './live-rows.ts';
import { liveHost, liveJob } from './live-views.ts';

/** Changes of so long are told together: nobody reads faster. */
const GATHER_MS = 250;
/** All is read anew this often, for what changes without being told, such as free space. */
const READ_ALL_MS = 15_000;
/** More of one kind at once is read together. */
const MANY = 100;
/** Jobs that wait or run, and that finished last, at most. */
const MOST_OPEN = 5_000;
const FINISHED = 100;

/**
 * The fleet as pages show it. While pages are open it holds one picture for all of them, follows what
 * changes, and tells each page only that; without pages it does nothing.
 */
export class LiveFleet {
  readonly #context: Context;
  readonly #links: HostLinks;
  readonly #hosts = new LiveRows<LiveHost>();
  readonly #workers = new LiveRows<WorkerView>();
  readonly #jobs = new LiveRows<LiveJob>();
  /** What workers' views need of hosts, by their ids. */
  readonly #owners = new Map<string, WorkersHost>();
  readonly #listeners = new Set<(event: string) => void>();
  #pools: readonly Pool[] = [];
  readonly #dirty = {
    host: new Set<string>(),
    worker: new Set<string>(),
    job: new Set<string>(),
  };
  #touched = new Set<string>();
  #readAllAt = 0;
  #following: { stop(): void } | undefined;
  /** Looks come one after the other. */
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: Context, links: HostLinks) {
    this.#context = context;
    this.#links = links;
  }

  /** Calls `listener` with the text of each event, first of all there is; returns the way to stop. */
  async subscribe(listener: (event: string) => void): Promise<() => void> {
    this.#follow();
    try {
      await this.#look();
    } catch (error) {
      if (this.#listeners.size === 0) this.close();
      throw error;
    }
    this.#listeners.add(listener);
    listener(
      eventOf({
        ...{ all: true, hosts: this.#hosts.rows, workers: this.#workers.rows },
        ...{ jobs: this.#jobs.rows, gone: { hosts: [], workers: [], jobs: [] }, touched: [] },
      }),
    );
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.close();
    };
  }

  /** Stops following. */
  close(): void {
    this.#following?.stop();
    this.#following = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #follow(): void {
    if (this.#following !== undefined) return;
    this.#readAllAt = 0;
    const unlisten = this.#context.bus.listen((changed) => this.#note(changed));
    const stopTicking = this.#context.clock.every(READ_ALL_MS, () => {
      this.#readAllAt = 0;
      this.#lookSoon();
    });
    this.#following = {
      stop: () => {
        unlisten();
        stopTicking();
      },
    };
  }

  #note({ rows, all }: Change): void {
    if (all) this.#readAllAt = 0;
    for (const { kind, subject } of rows) {
      if (kind === 'host' || kind === 'worker' || kind === 'job') this.#dirty[kind].add(subject);
      else this.#touched.add(kind);
      // What pools want decides what hosts lack.
      if (kind === 'pool') this.#readAllAt = 0;
    }
    this.#lookSoon();
  }

  #lookSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#look().catch((error: unknown) => {
        this.#readAllAt = 0;
        this.#context.log.log('warn', 'the picture of the fleet is not up to date', { error });
      });
    }, GATHER_MS);
  }

  /** Takes in what changed, and tells the pages. */
  #look(): Promise<void> {
    const look = this.#looking.then(async () => {
      await this.#read();
      this.#tell();
    });
    this.#looking = look.catch(() => undefined);
    return look;
  }

  async #read(): Promise<void> {
    const now = this.#context.clock.monotonic();
    const everything = this.#readAllAt === 0 || now >= this.#readAllAt;
    const { db } = this.#context;
    const dirty = {
      host: take(this.#dirty.host),
      worker: take(this.#dirty.worker),
      job: take(this.#dirty.job),
    };
    if (everything) {
      this.#readAllAt = now + READ_ALL_MS;
      this.#pools = (await poolsNow(db)).map((pool) => pool.now);
    }
    if (everything || dirty.host.length > MANY) {
      const rows = await listHosts(db);
      this.#hosts.replace(rows.map((row) => [row.name, this.#host(row)] as const));
    } else {
      for (const name of dirty.host) {
        const row = await findHostByName(db, name);
        this.#hosts.put(name, row && this.#host(row));
      }
    }
    if (everything || dirty.worker.length > MANY) {
      const rows = await liveWorkers(db);
      this.#workers.replace(rows.map((row) => [row.id, this.#worker(row)] as const));
    } else {
      for (const id of dirty.worker) {
        const row = await findWorker(db, id);
        const isThere = row !== undefined && row.state !== 'destroyed';
        this.#workers.put(id, isThere ? this.#worker(row) : undefined);
      }
    }
    if (everything || dirty.job.length > MANY) {
      const open = await openJobRows(db, MOST_OPEN);
      const finished = await recentlyFinished(db, FINISHED);
      this.#jobs.replace([...open, ...finished].map((row) => [row.id, liveJob(row)] as const));
    } else {
      for (const id of dirty.job) {
        const row = await findJob(db, id);
        this.#jobs.put(id, row && liveJob(row));
      }
    }
  }

  #host(row: HostRow): LiveHost {
    this.#owners.set(row.id, { name: row.name, facts: factsOf(row) });
    return liveHost(row, this.#links.of(row).online, this.#pools);
  }

  #worker(row: WorkerRow): WorkerView {
    return workerView(row, this.#context.fleet, this.#owners.get(row.host_id));
  }

  #tell(): void {
    const hosts = this.#hosts.take();
    const workers = this.#workers.take();
    const jobs = this.#jobs.take();
    const touched = [...this.#touched];
    this.#touched = new Set();
    const changes = [hosts, workers, jobs].flatMap(({ changed, gone }) => [...changed, ...gone]);
    if (changes.length === 0 && touched.length === 0) return;
    const event = eventOf({
      ...{ all: false, hosts: hosts.changed, workers: workers.changed, jobs: jobs.changed },
      gone: { hosts: hosts.gone, workers: workers.gone, jobs: jobs.gone },
      touched,
    });
    for (const listener of this.#listeners) listener(event);
  }
}

function eventOf(live: Live): string {
  return `data: ${JSON.stringify(live)}\n\n`;
}

function take(set: Set<string>): string[] {
  const all = [...set];
  set.clear();
  return all;
}
