import type { HostFacts } from '../../domain/host.ts';
import { percentilesOf, type Percentiles } from '../../domain/percentiles.ts';
import type { Pool } from '../../domain/pool.ts';
import { decide, type FleetAction } from '../../domain/scheduling/decide.ts';
import { forecastReady, SLOT_MS } from '../../domain/scheduling/forecast.ts';
import { specKey } from '../../domain/scheduling/fit.ts';
import { Fleet } from '../../domain/scheduling/fleet.ts';
import type { WorkerStatus } from '../../domain/scheduling/fleet-view.ts';
import { VirtualTime } from '../virtual-time.ts';
import type { TracedJob } from './trace.ts';

/** A fleet to try. Times in ms. */
export interface FleetPlan {
  readonly hosts: number;
  /** Workers of a host at once. */
  readonly slots: number;
  /** Workers kept ready at least. */
  readonly ready: number;
  /** As many more are kept ready as are forecast to be needed. */
  readonly forecast?: boolean;
  /** From asking for a worker until it is ready. */
  readonly makeMs: number;
  /** From the end of a job until its place is free. */
  readonly destroyMs: number;
}

/** What came of it. Times in ms. */
export interface FleetOutcome {
  readonly plan: FleetPlan;
  readonly jobs: number;
  readonly wait: Percentiles;
  /** Workers that were to be kept ready, in the mean over the time. */
  readonly keptReady: number;
  /** Share of the places' time in which a job ran. */
  readonly use: number;
  /** From the first job asked for to the last one's end. */
  readonly lastedMs: number;
  /** Jobs that waited, and that ran, at evenly spaced times. */
  readonly course: readonly {
    readonly at: number;
    readonly waiting: number;
    readonly running: number;
  }[];
}

/** What happens in less than this is decided together. */
const TOGETHER_MS = 100;
const COURSE_POINTS = 240;
const FORECAST_MS = 60_000;

const IMAGE = { name: 'planned', digest: `sha256:${'0'.repeat(64)}` };

/** Plays a history of jobs on a fleet, with the decisions of the scheduler, and no trouble. */
export function runFleet(plan: FleetPlan, trace: readonly TracedJob[]): FleetOutcome {
  return new FleetRun(plan, trace).run();
}

class FleetRun {
  readonly #plan: FleetPlan;
  readonly #trace: readonly TracedJob[];
  readonly #time = new VirtualTime();
  readonly #fleet = new Fleet({ teams: new Map(), reservations: [] });
  readonly #waits: number[] = [];
  readonly #workers = new Map<string, WorkerStatus>();
  readonly #start: number;
  #made = 0;
  #running = 0;
  #ranMs = 0;
  #ended = 0;
  readonly #demand = new Map<number, number>();
  #readySum = 0;
  #looks = 0;
  #due = false;

  constructor(plan: FleetPlan, trace: readonly TracedJob[]) {
    this.#plan = plan;
    this.#trace = trace;
    this.#start = trace[0]?.at ?? 0;
  }

  run(): FleetOutcome {
    const { hosts, slots, ready } = this.#plan;
    const most = hosts * slots;
    this.#keepReady(Math.min(ready, most));
    if (this.#plan.forecast === true) this.#forecast();
    const facts: HostFacts = { ...FACTS, capacity: { workers: slots, macosVms: slots } };
    for (let n = 0; n < hosts; n += 1) {
      const name = `mac-${String(n).padStart(6, '0')}`;
      const status = { id: name, name, state: 'active', online: true, silentForMs: 0 } as const;
      this.#fleet.setHost({ ...status, facts });
    }
    this.#arrive(0);
    this.#decideSoon();
    const course: FleetOutcome['course'][number][] = [];
    const lastAt = (this.#trace.at(-1)?.at ?? this.#start) - this.#start;
    const everyMs = Math.max(1_000, lastAt / COURSE_POINTS);
    while (this.#ended < this.#trace.length) {
      if (!this.#time.step(course.length * everyMs)) {
        const waiting = this.#fleet.queue.size;
        course.push({ at: course.length * everyMs, waiting, running: this.#running });
      }
    }
    const lastedMs = this.#time.now;
    return {
      ...{ plan: this.#plan, jobs: this.#trace.length, lastedMs },
      keptReady: this.#looks === 0 ? ready : this.#readySum / this.#looks,
      wait: percentilesOf(this.#waits),
      use: this.#ranMs / Math.max(1, lastedMs * most),
      course,
    };
  }

  #keepReady(ready: number): void {
    const max = this.#plan.hosts * this.#plan.slots;
    this.#fleet.setPool({ ...POOL, max, ready }, undefined);
  }

  /** Looks each minute what the next ones may bring. */
  #forecast(): void {
    const { ready, hosts, slots } = this.#plan;
    const now = this.#start + this.#time.now;
    const wanted = forecastReady(this.#demand, Math.floor(this.#start / SLOT_MS), now);
    const kept = Math.min(hosts * slots, Math.max(ready, wanted));
    this.#keepReady(kept);
    this.#readySum += kept;
    this.#looks += 1;
    this.#decideSoon();
    if (this.#ended < this.#trace.length) this.#time.after(FORECAST_MS, () => this.#forecast());
  }

  /** The job at `index` is asked for; those after it follow. */
  #arrive(index: number): void {
    const job = this.#trace[index];
    if (job === undefined) return;
    this.#time.at(job.at - this.#start, () => {
      const id = `j-${String(index).padStart(9, '0')}`;
      this.#fleet.setQueued({ id, pool: undefined, labels: [], team: job.team });
      const slot = Math.floor(job.at / SLOT_MS);
      this.#demand.set(slot, (this.#demand.get(slot) ?? 0) + 1);
      this.#decideSoon();
      this.#arrive(index + 1);
    });
  }

  #decideSoon(): void {
    if (this.#due) return;
    this.#due = true;
    this.#time.after(TOGETHER_MS, () => {
      this.#due = false;
      const circumstances = { now: this.#time.now, backoffs: NONE, hostLostAfterMs: Infinity };
      for (const action of decide(this.#fleet, circumstances)) this.#carryOut(action);
    });
  }

  #carryOut(action: FleetAction): void {
    switch (action.type) {
      case 'assign':
        return this.#runJob(action.jobId, action.workerId);
      case 'create':
        return this.#make(action);
      case 'destroy':
        return this.#destroy(action.workerId);
      default:
        throw new Error(`a plan has no ${action.type}`);
    }
  }

  #runJob(jobId: string, workerId: string): void {
    const worker = this.#workers.get(workerId);
    const job = this.#trace[Number(jobId.slice(2))];
    if (worker === undefined || job === undefined) throw new Error(`no ${jobId} or ${workerId}`);
    this.#waits.push(this.#time.now - (job.at - this.#start));
    this.#set({ ...worker, state: 'running', goal: 'run', jobId });
    this.#fleet.setRunning({ id: jobId, team: job.team, pool: worker.pool });
    this.#running += 1;
    this.#time.after(job.lengthMs, () => {
      this.#ended += 1;
      this.#running -= 1;
      this.#ranMs += job.lengthMs;
      this.#fleet.removeJob(jobId);
      this.#destroy(workerId);
    });
  }

  #make({ hostId, spec }: Extract<FleetAction, { type: 'create' }>): void {
    this.#made += 1;
    const worker: WorkerStatus = {
      ...{ id: `w-${String(this.#made).padStart(9, '0')}`, pool: spec.pool, hostId },
      ...{ state: 'requested', goal: 'ready', jobId: undefined, specKey: specKey(spec) },
      ...{ macosVm: true, readyAt: undefined, createdAt: this.#time.now },
    };
    this.#set(worker);
    this.#time.after(this.#plan.makeMs, () => {
      const now = this.#workers.get(worker.id);
      if (now?.goal !== 'ready') return;
      this.#set({ ...now, state: 'ready', readyAt: this.#time.now });
      this.#decideSoon();
    });
  }

  #destroy(id: string): void {
    const worker = this.#workers.get(id);
    if (worker === undefined || worker.goal === 'destroyed') return;
    this.#set({ ...worker, goal: 'destroyed' });
    this.#time.after(this.#plan.destroyMs, () => {
      this.#workers.delete(id);
      this.#fleet.removeWorker(id);
      this.#decideSoon();
    });
  }

  #set(worker: WorkerStatus): void {
    this.#workers.set(worker.id, worker);
    this.#fleet.setWorker(worker);
  }
}

const NONE = new Map<string, never>();

const POOL: Pool = {
  ...{ name: 'default', labels: [], hostLabels: [], image: IMAGE.name, kind: 'vm', vm: 'planned' },
  ...{ guest: 'macos', ready: 0, max: 1, limits: {}, retries: 0 },
  ...{ defaultTimeoutMs: Infinity, maxTimeoutMs: Infinity },
};

const FACTS: HostFacts = {
  ...{ os: 'macos', osVersion: '15', arch: 'arm64', cpus: 8, memoryBytes: 2 ** 34, labels: [] },
  ...{ capacity: { workers: 2, macosVms: 2 }, sandboxes: [], stores: [], images: [IMAGE] },
  vms: [{ name: 'planned', available: true, detail: '', rank: 1, isolation: 'vm' }],
};
