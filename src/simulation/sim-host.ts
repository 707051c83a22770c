import { decideWorker, type Goal, type LocalState } from '../agent/decide.ts';
import { reportOf } from '../agent/report.ts';
import type { Look } from '../agent/runtime.ts';
import type { HostFacts } from '../domain/host.ts';
import type { HostTask, ObservedTask } from '../domain/host-task.ts';
import type { JobOrder, JobResult } from '../domain/job.ts';
import type { DesiredWorker, ObservedWorker, WorkerSpec, WorkerState } from '../domain/worker.ts';
import type { AgentMessage } from '../protocol/session.ts';
import type { Network } from './network.ts';
import { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { SimController } from './sim-controller.ts';
import { EPOCH } from './sim-controller.ts';
import { SimLink } from './sim-link.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A boot that hangs takes so many times as long. */
const HANGS = 20;

/** What there is of a worker on the disk and in the machine: it outlives the agent. */
interface LocalWorker {
  readonly id: string;
  epoch: number;
  readonly spec: WorkerSpec;
  made: boolean;
  order: { readonly jobId: string; readonly epoch: number } | undefined;
  startedAt: number | undefined;
  result: JobResult | undefined;
  delivered: boolean;
  /** Its machine runs, or boots. */
  machine: boolean;
  /** Why it can do nothing more. */
  broken: string | undefined;
}

/** What a host tells the world of. */
export interface HostWitness {
  /** A command starts for a job. */
  started(host: SimHost, workerId: string, order: JobOrder): void;
  /** How long the command takes, and how it ends. */
  lengthOf(jobId: string): number;
  exitCodeOf(jobId: string): number;
  machineStarted(host: SimHost, spec: WorkerSpec): void;
  /** A boot takes so long that the job it is for waits meanwhile. */
  bootHangs(ms: number): void;
  /** It was asked to reboot, and does. */
  reboots(host: SimHost): void;
  /** Whether a controller still wants what an agent delivers of a job. */
  wantsDelivery(
    controller: SimController,
    host: SimHost,
    order: { readonly jobId: string; readonly epoch: number },
  ): Promise<boolean>;
}

/** How a host behaves. Times in ms. */
export interface HostHabits {
  cloneMs: number;
  bootMs: number;
  /** Share of boots that fail, and that hang for long. */
  bootFails: number;
  bootHangs: number;
  diskFull: boolean;
}

/** A host: its machines, and the agent's process, which may be killed and started again. */
export class SimHost {
  readonly name: string;
  readonly id: string;
  readonly habits: HostHabits;
  facts: HostFacts;
  readonly workers = new Map<string, LocalWorker>();
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #network: Network;
  readonly #witness: HostWitness;
  readonly #world: ConstructorParameters<typeof SimLink>[2];
  #process: SimProcess;
  /** Of the agent's process: gone when it dies. */
  #goals = new Map<string, Goal>();
  #orders = new Map<string, JobOrder>();
  #busy = new Set<string>();
  #observed = new Map<string, ObservedWorker>();
  #link: SimLink | undefined;
  #silentSince = 0;
  /** On its disk: the last task that it began. */
  #task: ObservedTask | undefined;
  #taskTold = true;
  skewMs = 0;

  constructor(
    identity: { readonly id: string; readonly name: string },
    facts: HostFacts,
    habits: HostHabits,
    world: {
      readonly time: VirtualTime;
      readonly random: Random;
      readonly network: Network;
      readonly witness: HostWitness;
      controllers(): readonly SimController[];
    },
  ) {
    this.id = identity.id;
    this.name = identity.name;
    this.facts = facts;
    this.habits = habits;
    this.#time = world.time;
    this.#random = world.random;
    this.#network = world.network;
    this.#witness = world.witness;
    this.#world = world;
    this.#process = new SimProcess(world.time);
    this.#startAgent();
  }

  get agentLives(): boolean {
    return this.#process.lives;
  }

  /** Since when it has no session; undefined while it has one. */
  get silentSince(): number | undefined {
    return this.#link?.controller === undefined ? this.#silentSince : undefined;
  }

  /** Machines that run or boot: guests of macOS alone, when `macos`. */
  machines(macos = false): number {
    let count = 0;
    for (const { machine, spec } of this.workers.values()) {
      if (machine && (!macos || (spec.kind === 'vm' && spec.guest === 'macos'))) count += 1;
    }
    return count;
  }

  crashAgent(): void {
    this.#process.kill();
    this.#link?.abandon();
  }

  restartAgent(): void {
    if (this.#process.lives) return;
    this.#process = new SimProcess(this.#time);
    this.#startAgent();
  }

  /** All that was on its disk is gone. */
  wipe(ms: number): void {
    this.reboot(ms);
    this.#task = undefined;
    this.workers.clear();
  }

  /** All that runs ends; the agent comes back after a while. */
  reboot(ms: number): void {
    this.crashAgent();
    for (const worker of this.workers.values()) {
      if (!worker.machine) continue;
      worker.machine = false;
      if (worker.result === undefined && worker.made) worker.broken = 'its host was restarted';
    }
    this.#time.after(ms, () => this.restartAgent());
  }

  standStill(ms: number): void {
    const process = this.#process;
    process.stand();
    this.#time.after(ms, () => process.goOn());
  }

  setFacts(facts: HostFacts): void {
    this.facts = facts;
    this.#link?.send({ type: 'observed', complete: false, workers: [], facts });
  }

  #startAgent(): void {
    this.#goals = new Map();
    this.#orders = new Map();
    this.#busy = new Set();
    this.#observed = new Map();
    this.#link = undefined;
    this.#taskTold = true;
    // What the process before it was at, and did not come to the end of, is over.
    if (this.#task?.state === 'running') this.#task = { ...this.#task, state: 'failed' };
    for (const worker of this.workers.values()) {
      const seen: ObservedWorker = { id: worker.id, epoch: worker.epoch, state: 'requested' };
      this.#observed.set(worker.id, seen);
    }
    for (const worker of this.workers.keys()) this.#step(worker);
    this.#link = new SimLink(
      this.#process,
      {
        ...{ name: this.name, id: this.id },
        facts: () => this.facts,
        whole: () => this.#whole(),
        observed: (id) => this.#observed.get(id),
        desired: ({ workers, task }) => {
          this.#desired(workers);
          this.#doTask(task);
        },
        outOfTouch: () => {
          this.#silentSince = this.#time.now;
        },
      },
      this.#world,
    );
  }

  #whole(): Extract<AgentMessage, { type: 'observed' }> {
    const task = this.#taskTold && this.#task !== undefined ? { task: this.#task } : {};
    return { type: 'observed', complete: true, workers: [...this.#observed.values()], ...task };
  }

  /** As the agent does: each once, and whoever comes after it knows how it went. */
  #doTask(task: HostTask | undefined): void {
    this.#taskTold = task !== undefined;
    if (task === undefined || task.id === this.#task?.id) return;
    const { id, kind } = task;
    this.#task = { id, state: 'running' };
    if (kind === 'clean') {
      this.#process.after(1_000, () => {
        this.#task = { id, state: 'done' };
        this.#link?.send(this.#whole());
      });
      return;
    }
    // What it was begun for is over once the agent is back.
    this.#process.after(100, () => {
      this.#task = { id, state: 'done' };
      if (kind === 'reboot') {
        this.#witness.reboots(this);
        return this.reboot(20_000);
      }
      this.crashAgent();
      this.#time.after(1_000, () => this.restartAgent());
    });
  }

  #desired(desired: readonly DesiredWorker[]): void {
    const wanted = new Map(desired.map((worker) => [worker.id, worker]));
    for (const id of this.#observed.keys()) {
      const mine = wanted.get(id);
      if (mine === undefined && this.#observed.get(id)?.state === 'destroyed') {
        this.#observed.delete(id);
        this.#goals.delete(id);
        continue;
      }
      if (mine !== undefined) this.#renewIfAsked(id, mine);
      this.#want(id, mine);
    }
    for (const worker of desired) {
      if (this.#observed.has(worker.id)) continue;
      const { id, epoch, spec } = worker;
      this.#observed.set(id, { id, epoch, state: 'requested' });
      this.#specs.set(id, { epoch, spec });
      this.#want(id, worker);
    }
  }

  /** The worker's next epoch: it is to take another job. */
  #renewIfAsked(id: string, { epoch, spec }: DesiredWorker): void {
    if (epoch <= (this.#observed.get(id)?.epoch ?? epoch)) return;
    this.#observed.set(id, { id, epoch, state: 'requested' });
    this.#specs.set(id, { epoch, spec });
    this.#orders.delete(id);
    const worker = this.workers.get(id);
    if (worker === undefined) return;
    const isDelivered = worker.delivered && worker.machine;
    Object.assign(worker, {
      ...{ epoch, order: undefined, startedAt: undefined, result: undefined, delivered: false },
      ...{ made: false, broken: isDelivered ? undefined : 'it could not be used again' },
    });
    if (!isDelivered) return;
    this.#observe(id, { state: 'booting' });
    this.#takes(id, this.#about(200), () => {
      if (!this.#unwanted(id)) worker.made = true;
    });
  }

  readonly #specs = new Map<string, { readonly epoch: number; readonly spec: WorkerSpec }>();

  #want(id: string, desired: DesiredWorker | undefined): void {
    this.#goals.set(id, desired?.goal ?? 'destroyed');
    if (desired?.order !== undefined) this.#orders.set(id, desired.order);
    this.#step(id);
  }

  #look(id: string): Look {
    const worker = this.workers.get(id);
    if (worker === undefined) return { state: 'absent' };
    const job = worker.order;
    const common = {
      ...(job === undefined ? {} : { jobId: job.jobId, jobEpoch: job.epoch }),
      ...(worker.startedAt === undefined ? {} : { startedAt: worker.startedAt }),
    };
    const state: LocalState =
      worker.result !== undefined
        ? worker.delivered
          ? 'delivered'
          : 'ended'
        : worker.broken !== undefined
          ? 'broken'
          : job !== undefined
            ? 'running'
            : worker.made
              ? 'ready'
              : 'unfinished';
    const result = worker.result === undefined ? {} : { result: worker.result };
    const reason = worker.broken === undefined ? {} : { reason: worker.broken };
    return { state, ...common, ...result, ...reason };
  }

  /** As the agent's worker does: looks, reports, does the one thing that is decided. */
  #step(id: string): void {
    if (this.#busy.has(id) || this.#observed.get(id)?.state === 'destroyed') return;
    const worker = this.workers.get(id);
    if (worker?.broken !== undefined && worker.order !== undefined && worker.result === undefined) {
      // A job that lost its machine has a result too: that it is lost.
      const lost = { outcome: 'lost', reason: worker.broken } as const;
      worker.result = { ...lost, finishedAt: this.#wallClock(), logBytes: 0 };
    }
    const look = this.#look(id);
    const report = reportOf(look);
    if (report !== undefined) this.#observe(id, report);
    switch (decideWorker(look.state, this.#goals.get(id) ?? 'unknown')) {
      case 'wait':
        return;
      case 'make':
        return this.#make(id);
      case 'give-up':
        return this.#giveUp(id, look);
      case 'hand-over':
        return this.#handOver(id);
      case 'cancel':
        return this.#cancel(id);
      case 'deliver':
        return this.#deliver(id);
      case 'destroy':
        return this.#destroy(id);
      case 'forget':
        return this.#observe(id, { state: 'destroyed' });
    }
  }

  /** Does something that takes a while; what the agent dies in stays half done. */
  #takes(id: string, ms: number, then: () => void): void {
    this.#busy.add(id);
    this.#process.after(ms, () => {
      this.#busy.delete(id);
      then();
      this.#step(id);
    });
  }

  #make(id: string): void {
    const known = this.#specs.get(id);
    if (known === undefined) return;
    const { epoch, spec } = known;
    const worker: LocalWorker = {
      ...{ id, epoch, spec, made: false, order: undefined, startedAt: undefined },
      ...{ result: undefined, delivered: false, machine: false, broken: undefined },
    };
    this.workers.set(id, worker);
    this.#observe(id, { state: 'cloning' });
    const { cloneMs, bootMs, bootFails, bootHangs, diskFull } = this.habits;
    this.#takes(id, this.#about(cloneMs), () => {
      if (this.#unwanted(id)) return;
      if (diskFull) {
        worker.broken = 'no space left on device';
        return;
      }
      this.#observe(id, { state: 'booting' });
      worker.machine = true;
      this.#witness.machineStarted(this, spec);
      const takes = this.#about(bootMs) * (this.#random.chance(bootHangs) ? HANGS : 1);
      if (takes > bootMs * 2) this.#witness.bootHangs(takes);
      const fails = this.#random.chance(bootFails);
      this.#takes(id, takes, () => {
        if (this.#unwanted(id)) return;
        if (fails) worker.broken = 'the guest did not answer';
        else worker.made = true;
      });
    });
  }

  #unwanted(id: string): boolean {
    const goal = this.#goals.get(id);
    return goal === 'destroyed' || goal === 'cancel';
  }

  #giveUp(id: string, look: Look): void {
    const worker = this.workers.get(id);
    const reason = {
      absent: 'it is not there any more',
      ready: 'cancelled before its job started',
      unfinished: 'the agent restarted while it was being made',
    }[look.state as 'absent' | 'ready' | 'unfinished'];
    if (worker === undefined) this.#observe(id, { state: 'failed', reason });
    else {
      worker.broken = reason;
      this.#step(id);
    }
  }

  #handOver(id: string): void {
    const order = this.#orders.get(id);
    const worker = this.workers.get(id);
    if (order === undefined || worker === undefined) return;
    this.#orders.delete(id);
    const mine = { jobId: order.jobId, epoch: order.epoch };
    worker.order = mine;
    this.#witness.started(this, id, order);
    worker.startedAt = this.#wallClock();
    // The machine runs it, whatever becomes of the agent.
    this.#time.after(this.#witness.lengthOf(order.jobId), () => {
      if (!worker.machine || worker.result !== undefined || worker.broken !== undefined) return;
      if (worker.order !== mine) return;
      const exitCode = this.#witness.exitCodeOf(order.jobId);
      this.#end(worker, exitCode === 0 ? 'succeeded' : 'failed', exitCode);
    });
    this.#step(id);
  }

  #end(worker: LocalWorker, outcome: JobResult['outcome'], exitCode: number): void {
    const { startedAt } = worker;
    worker.result = {
      ...{ outcome, exitCode, finishedAt: this.#wallClock(), logBytes: 0 },
      ...(startedAt === undefined ? {} : { startedAt }),
    };
    this.#process.enter(() => this.#step(worker.id));
  }

  #cancel(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined) return;
    this.#takes(id, 100, () => {
      if (worker.result === undefined) this.#end(worker, 'cancelled', 143);
    });
  }

  #deliver(id: string): void {
    const worker = this.workers.get(id);
    const [controller, order] = [this.#link?.controller, worker?.order];
    if (worker === undefined || order === undefined) return;
    const again = () => this.#takes(id, this.#random.between(100, 1_000), () => undefined);
    if (controller === undefined) return again();
    this.#busy.add(id);
    const agent = this.#process;
    this.#network.send(this.name, controller.name, () =>
      controller.process.enter(() => {
        const wanted = this.#witness.wantsDelivery(controller, this, order);
        void wanted.then((yes) =>
          this.#network.send(controller.name, this.name, () =>
            agent.enter(() => {
              if (worker.order !== order) return;
              this.#busy.delete(id);
              // Not wanted any more: the controller will say so.
              if (!yes) return again();
              worker.delivered = true;
              this.#step(id);
            }),
          ),
        );
      }),
    );
    // An answer that does not come is asked for again.
    this.#process.after(10_000, () => {
      if (worker.delivered || worker.order !== order || this.workers.get(id) !== worker) return;
      this.#busy.delete(id);
      this.#step(id);
    });
  }

  #destroy(id: string): void {
    const worker = this.workers.get(id);
    this.#takes(id, this.#about(300), () => {
      if (worker !== undefined) worker.machine = false;
      this.workers.delete(id);
      this.#observe(id, { state: 'destroyed' });
    });
  }

  #observe(
    id: string,
    report: Omit<ObservedWorker, 'id' | 'epoch'> & { state: WorkerState },
  ): void {
    const before = this.#observed.get(id);
    if (before === undefined) return;
    const next: ObservedWorker = { id, epoch: before.epoch, ...report };
    if (JSON.stringify(next) === JSON.stringify(before)) return;
    this.#observed.set(id, next);
    this.#link?.changed(id);
  }

  #about(ms: number): number {
    return ms * this.#random.between(0.8, 1.2);
  }

  #wallClock(): number {
    return Math.round(EPOCH + this.#time.now + this.skewMs);
  }
}
