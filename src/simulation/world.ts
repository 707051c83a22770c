import { migrate } from '../db/migrate.ts';
import type { Database } from '../db/database.ts';
import { enrolHost, findHostByName } from '../db/queries/hosts.ts';
import { findJob, insertJob } from '../db/queries/jobs.ts';
import { savePool } from '../db/queries/pools.ts';
import { initSetting } from '../db/queries/settings.ts';
import { findWorker } from '../db/queries/workers.ts';
import { openSqlite } from '../db/sqlite.ts';
import { change } from '../controller/context.ts';
import { cancelJob } from '../controller/job-endings.ts';
import { askHost } from '../controller/host-tasks.ts';
import { removeHost } from '../controller/remove-host.ts';
import type { HostTaskKind } from '../domain/host-task.ts';
import { NO_RULES } from '../domain/scheduling/rules.ts';
import { silentLogger, type Logger } from '../platform/logger.ts';
import { Audit, type Violation } from './audit.ts';
import { IDLE_BOUND_MS, Lookout } from './lookout.ts';
import { Network } from './network.ts';
import { Random } from './random.ts';
import {
  QUOTA,
  WEIGHT,
  type Fault,
  type FaultKind,
  type Scenario,
  type SimJob,
} from './scenario.ts';
import { SimController, type Shared } from './sim-controller.ts';
import { FACTS, HOST_LOST_MS, POOLS } from './sim-fleet.ts';
import { SimHost, type HostHabits } from './sim-host.ts';
import { VirtualTime } from './virtual-time.ts';

/** When nothing goes wrong any more, all is over and tidy after this at the latest. */
const SETTLE_MS = 20 * 60_000;
const LOOK_MS = 5_000;

const MOST = new Map(POOLS.map(({ name, max }) => [name, max]));

export interface Played {
  readonly violations: readonly Violation[];
  readonly jobs: Readonly<Record<string, number>>;
  readonly events: number;
  /** When all was over, ms since the beginning. */
  readonly endedAt: number;
  /** What happened, for people: the last of it. */
  readonly trail: readonly string[];
}

/** What others stand in for soon, while it lasts. */
const OF_CONTROLLERS: ReadonlySet<FaultKind> = new Set([
  ...(['cut-database', 'kill-controller', 'still-controller'] as const),
]);

/** What somebody asks hosts for. */
const ASKED: readonly HostTaskKind[] = ['restart', 'clean', 'reboot'];

const TRAIL = 400;

/** A fleet with its controllers, hosts, jobs and faults, played on a virtual clock. */
export class World {
  readonly #scenario: Scenario;
  readonly #time = new VirtualTime();
  readonly #random: Random;
  readonly #network: Network;
  readonly #db: Database;
  readonly #audit: Audit;
  readonly #shared: Shared;
  readonly #lookout: Lookout;
  readonly #controllers: SimController[] = [];
  readonly #hosts = new Map<string, SimHost>();
  readonly #lengths = new Map<string, SimJob>();
  readonly #trail: string[] = [];
  #made = 0;
  #events = 0;

  constructor(scenario: Scenario, log: Logger = silentLogger) {
    this.#scenario = scenario;
    this.#random = new Random(scenario.seed ^ 0x5eed);
    this.#audit = new Audit(() => this.#time.now, scenario.faults.length === 0, MOST);
    this.#network = new Network(this.#time, this.#random);
    this.#db = openSqlite(':memory:');
    this.#shared = {
      ...{ time: this.#time, random: this.#random, network: this.#network, db: this.#db, log },
      rules: {
        ...NO_RULES,
        teams: new Map([
          ['red', { weight: 1, quota: QUOTA }],
          ['green', { weight: WEIGHT }],
        ]),
      },
      ...{ hostLostAfterMs: HOST_LOST_MS, conflicts: 0, listeners: new Set() },
      newId: (prefix) => {
        this.#made += 1;
        return `${prefix}-${String(this.#made).padStart(8, '0')}`;
      },
    };
    this.#lookout = new Lookout({
      ...{ time: this.#time, network: this.#network, db: this.#db, audit: this.#audit },
      ...{ controllers: this.#controllers, hosts: this.#hosts },
      conflicts: () => this.#shared.conflicts,
    });
  }

  async play(): Promise<Played> {
    await this.#begin();
    const { jobs, faults } = this.#scenario;
    for (const job of jobs) this.#time.at(job.at, () => void this.#submit(job));
    for (const fault of faults) this.#time.at(fault.at, () => void this.#strike(fault));
    const calmAt =
      Math.max(
        0,
        ...jobs.map(({ at, cancelAt = at }) => cancelAt),
        ...faults.map(({ at, ms }) => at + ms),
      ) + 1;
    this.#time.at(calmAt, () => this.#heal());
    await this.#run(calmAt);
    const endedAt = await this.#runUntilTidy(calmAt + SETTLE_MS);
    const played = {
      violations: this.#audit.violations,
      jobs: await this.#outcomes(),
      ...{ events: this.#events, endedAt: Math.round(endedAt), trail: this.#trail },
    };
    await this.#db.close();
    return played;
  }

  async #begin(): Promise<void> {
    await migrate(this.#db);
    await initSetting(this.#db, 'fleet', 'f00f00');
    for (const pool of POOLS) {
      await savePool(this.#db, { name: pool.name, origin: 'config', spec: JSON.stringify(pool) });
    }
    this.#shared.listeners.add({ name: 'audit', hear: (text) => this.#heard(text) });
    for (let n = 0; n < this.#scenario.controllers; n += 1) this.#startController(`c${n}`);
    for (let n = 0; n < this.#scenario.hosts; n += 1) await this.#addHost(`mac-${n}`);
    const look = () => {
      void this.#lookout.look();
      this.#time.after(LOOK_MS, look);
    };
    this.#time.after(LOOK_MS, look);
  }

  #startController(name: string): void {
    this.#controllers.push(new SimController(name, this.#shared));
  }

  async #addHost(name: string): Promise<void> {
    const id = this.#shared.newId('h', 0);
    await enrolHost(this.#db, { id, name, credentialHash: id, now: 0 });
    const habits: HostHabits = {
      ...{ cloneMs: 300, bootMs: 4_000, bootFails: 0.01, bootHangs: 0.01, diskFull: false },
    };
    const { time, random, network } = this.#shared;
    const host = new SimHost({ id, name }, FACTS, habits, {
      ...{ time, random, network },
      controllers: () => this.#controllers,
      witness: {
        started: (where, workerId, order) => {
          this.#note(`${order.jobId}.${order.epoch} starts on ${where.name} in ${workerId}`);
          this.#audit.started(where, workerId, order);
        },
        lengthOf: (jobId) => this.#lengths.get(jobId)?.lengthMs ?? 0,
        exitCodeOf: (jobId) => this.#lengths.get(jobId)?.exitCode ?? 0,
        machineStarted: (where, spec) => this.#audit.machineStarted(where, spec),
        bootHangs: (ms) => this.#trouble(ms),
        reboots: (where) => this.#audit.reboots(where),
        wantsDelivery: (controller, where, { jobId, epoch }) =>
          this.#wantsDelivery(controller, where, jobId, epoch),
      },
    });
    this.#hosts.set(name, host);
  }

  async #wantsDelivery(
    { context: { db } }: SimController,
    host: SimHost,
    jobId: string,
    epoch: number,
  ): Promise<boolean> {
    const job = await findJob(db, jobId).catch(() => undefined);
    if (job === undefined || job.state === 'finished' || job.epoch !== epoch) return false;
    const worker = await findWorker(db, job.worker_id ?? '');
    return worker?.host_id === host.id;
  }

  /** Through a controller, as everybody does; tried again until one takes it. */
  async #submit(job: SimJob): Promise<void> {
    const controller = this.#controllers.find(({ process }) => process.runs);
    if (controller === undefined) return this.#time.after(1_000, () => void this.#submit(job));
    const id = this.#shared.newId('j', 0);
    const { pool, retries, exitCode, team, cancelAt } = job;
    this.#lengths.set(id, job);
    const tracked = { id, pool, retries, exitCode, starts: [], final: undefined };
    this.#audit.jobs.set(id, tracked);
    try {
      await change(controller.context, async ({ tx, now, event }) => {
        await insertJob(tx, {
          ...{ id, title: null, pool, labels: [], priority: 0, retries, submitted_at: now, team },
          ...{ idempotency_key: null, request_hash: null },
          payload: { command: ['true'], env: {}, secrets: [], artifacts: [], timeoutMs: 3_600_000 },
        });
        await event('job', id, 'queued');
      });
      if (cancelAt !== undefined) this.#time.at(cancelAt, () => void this.#cancel(id));
    } catch {
      this.#audit.jobs.delete(id);
      this.#time.after(1_000, () => void this.#submit(job));
    }
  }

  async #cancel(id: string): Promise<void> {
    const controller = this.#controllers.find(({ process }) => process.runs);
    if (controller === undefined) return;
    await change(controller.context, async (changes) => {
      const job = await findJob(changes.tx, id);
      if (job !== undefined) await cancelJob(changes, job, 'cancelled');
    }).catch(() => undefined);
  }

  async #strike({ kind, target, ms }: Fault): Promise<void> {
    const hosts = [...this.#hosts.values()];
    const host = hosts[target % hosts.length];
    const controller = this.#controllers[target % this.#controllers.length];
    if (host === undefined || controller === undefined) return;
    if (!OF_CONTROLLERS.has(kind)) {
      this.#trouble(ms);
    }
    this.#note(`fault ${kind} for ${Math.round(ms)} ms (${host.name}, ${controller.name})`);
    switch (kind) {
      case 'cut-host':
        return this.#network.cut(host.name, controller.name, ms);
      case 'cut-database':
        return this.#network.cut(controller.name, 'database', ms);
      case 'slow-network':
        this.#network.slowUntil = Math.max(this.#network.slowUntil, this.#time.now + ms);
        return;
      case 'kill-controller':
        return this.#restartController(controller, ms);
      case 'still-controller':
        controller.process.stand();
        return this.#time.after(ms, () => controller.process.goOn());
      case 'clock-jump':
        controller.skewMs += (target % 2 === 0 ? 1 : -1) * ms * 100;
        host.skewMs += (target % 3 === 0 ? 1 : -1) * ms * 1_000;
        return;
      case 'kill-agent':
        host.crashAgent();
        return this.#time.after(ms, () => host.restartAgent());
      case 'still-agent':
        return host.standStill(ms);
      case 'reboot-host':
        return host.reboot(ms);
      case 'boots-fail':
        return this.#spell(host, { bootFails: 1 }, ms);
      case 'boots-hang':
        return this.#spell(host, { bootHangs: 1 }, ms);
      case 'disk-full':
        return this.#spell(host, { diskFull: true }, ms);
      case 'leak-slot':
        host.setFacts({ ...FACTS, macosSlots: { foreign: 0, leaked: true } });
        return this.#time.after(ms, () => {
          host.reboot(1_000);
          host.facts = FACTS;
        });
      case 'conflicts':
        this.#shared.conflicts = 0.3;
        return this.#time.after(ms, () => {
          this.#shared.conflicts = 0;
        });
      case 'wipe-host':
        return host.wipe(ms);
      case 'take-host':
        return this.#takeHost(host);
      case 'ask-host':
        return this.#askHost(host, ASKED[target % ASKED.length] ?? 'reboot');
    }
  }

  /** Jobs may wait for so long, and it is nobody's fault. */
  #trouble(ms: number): void {
    this.#lookout.troubledUntil = Math.max(this.#lookout.troubledUntil, this.#time.now + ms);
  }

  #spell(host: SimHost, habits: Partial<HostHabits>, ms: number): void {
    const usual = { bootFails: 0.01, bootHangs: 0.01, diskFull: false };
    Object.assign(host.habits, habits);
    this.#time.after(ms, () => Object.assign(host.habits, usual));
  }

  #restartController(controller: SimController, ms: number): void {
    const at = this.#controllers.indexOf(controller);
    if (!controller.process.lives) return;
    controller.kill();
    const { name } = controller;
    this.#time.after(ms, () => {
      this.#controllers[at] = new SimController(name, this.#shared);
      this.#note(`${name} is back`);
    });
  }

  async #askHost(host: SimHost, kind: HostTaskKind): Promise<void> {
    const controller = this.#controllers.find(({ process }) => process.runs);
    if (controller === undefined) return;
    await change(controller.context, async (changes) => {
      const row = await findHostByName(changes.tx, host.name);
      if (row !== undefined) await askHost(changes, row, { kind, reason: 'by hand' });
    }).catch(() => undefined);
  }

  /** A rented host goes for good, and is removed; another comes. */
  async #takeHost(host: SimHost): Promise<void> {
    const controller = this.#controllers.find(({ process }) => process.runs);
    if (controller === undefined) return;
    host.crashAgent();
    host.reboot(Infinity);
    this.#hosts.delete(host.name);
    const forgotten = await change(controller.context, async (changes) => {
      const row = await findHostByName(changes.tx, host.name);
      if (row !== undefined) await removeHost(changes, row, 'it was taken away');
      return true;
    }).catch(() => false);
    if (!forgotten) return this.#time.after(1_000, () => void this.#takeHost(host));
    await this.#addHost(`${host.name.split('.')[0]}.${this.#made}`);
  }

  #heal(): void {
    this.#note('nothing goes wrong any more');
    this.#network.heal();
    this.#shared.conflicts = 0;
    for (const controller of this.#controllers) {
      controller.process.goOn();
      controller.skewMs = 0;
    }
    for (const host of this.#hosts.values()) {
      Object.assign(host.habits, { bootFails: 0, bootHangs: 0, diskFull: false });
      host.restartAgent();
    }
  }

  /** The events of the database are heard by the audit at once. */
  #heard(text: string): void {
    const { rows } = JSON.parse(text) as { rows: { kind: string; subject: string }[] };
    const jobs = rows.filter(({ kind }) => kind === 'job').map(({ subject }) => subject);
    for (const id of jobs) this.#lookout.jobChanged(id);
    void this.#audit.changed(this.#db, jobs);
  }

  async #run(until: number): Promise<void> {
    while (this.#audit.violations.length === 0 && this.#time.step(until)) {
      this.#events += 1;
      await settled();
    }
  }

  /** Goes on until all is as it should be. Says what is not when it does not come to that. */
  async #runUntilTidy(until: number): Promise<number> {
    let matter: Violation | undefined;
    let tidySince: number | undefined;
    for (let at = this.#time.now; at < until; at += LOOK_MS) {
      await this.#run(at);
      if (this.#audit.violations.length > 0) return this.#time.now;
      matter = await this.#lookout.untidy();
      if (matter !== undefined) tidySince = undefined;
      else if (tidySince === undefined) tidySince = at;
      else if (at - tidySince > IDLE_BOUND_MS) return tidySince;
    }
    if (matter !== undefined) this.#audit.violated(matter.invariant, matter.detail);
    return this.#time.now;
  }

  async #outcomes(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const id of this.#audit.jobs.keys()) {
      const row = await findJob(this.#db, id);
      // Nobody was told that it was taken, and it was not.
      const outcome = row?.outcome ?? row?.state ?? 'unacknowledged';
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
    return counts;
  }

  #note(text: string): void {
    this.#trail.push(`${(this.#time.now / 1_000).toFixed(3)} s: ${text}`);
    if (this.#trail.length > TRAIL) this.#trail.shift();
  }
}

/** Lets all that runs now come to where it waits. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}
