/** What a GitHub has that runs jobs. */

export interface FakeRun {
  readonly id: number;
  readonly repository: string;
  /** Null: the fork was deleted. */
  readonly headRepository: string | null;
  readonly event: string;
  readonly actor: string;
  readonly approved: boolean;
}

export interface FakeJob {
  readonly id: number;
  readonly run: FakeRun;
  readonly name: string;
  readonly labels: readonly string[];
  /** How long it runs, seconds. */
  readonly seconds: number;
  /** `crash`: its runner dies in the middle of it. */
  readonly ending: 'success' | 'failure' | 'crash';
  readonly createdAt: string;
  status: 'queued' | 'waiting' | 'in_progress' | 'completed';
  conclusion: 'success' | 'failure' | 'cancelled' | null;
  runner: FakeRunner | undefined;
  /** How often it was handed to a runner. */
  starts: number;
}

export interface FakeRunner {
  readonly id: number;
  readonly name: string;
  readonly labels: readonly string[];
  readonly token: string;
  connected: boolean;
  /** Polls that are open, or were a moment ago. */
  heardAt: number;
  job: FakeJob | undefined;
}

/** A runner that has not polled for so long is offline. */
const OFFLINE_MS = 5_000;

export class FakeHub {
  readonly runs = new Map<number, FakeRun>();
  readonly jobs = new Map<number, FakeJob>();
  readonly runners = new Map<number, FakeRunner>();
  /** Names of all runners that there ever were. */
  readonly everRegistered: string[] = [];
  /** New versions only, from now on. */
  deprecated = false;
  #nextId = 1000;
  readonly #listeners = new Set<(action: string, job: FakeJob) => void>();

  onJob(listener: (action: string, job: FakeJob) => void): void {
    this.#listeners.add(listener);
  }

  newId(): number {
    this.#nextId += 1;
    return this.#nextId;
  }

  /** A workflow with one job begins. */
  push(job: {
    repository: string;
    labels: readonly string[];
    name?: string;
    seconds?: number;
    ending?: FakeJob['ending'];
    headRepository?: string | null;
    event?: string;
    actor?: string;
    approved?: boolean;
  }): FakeJob {
    const run: FakeRun = {
      ...{ id: this.newId(), repository: job.repository, event: job.event ?? 'push' },
      headRepository: job.headRepository === undefined ? job.repository : job.headRepository,
      ...{ actor: job.actor ?? 'octocat', approved: job.approved ?? false },
    };
    this.runs.set(run.id, run);
    const id = this.newId();
    const made: FakeJob = {
      ...{ id, run, name: job.name ?? `job-${id}`, labels: job.labels },
      ...{ seconds: job.seconds ?? 0, ending: job.ending ?? 'success' },
      createdAt: new Date().toISOString(),
      ...{ status: 'queued', conclusion: null, runner: undefined, starts: 0 },
    };
    this.jobs.set(id, made);
    this.#tell('queued', made);
    return made;
  }

  cancel(job: FakeJob): void {
    if (job.status === 'completed') return;
    job.status = 'completed';
    job.conclusion = 'cancelled';
    this.#tell('completed', job);
  }

  register(name: string, labels: readonly string[]): FakeRunner | 'taken' {
    if ([...this.runners.values()].some((runner) => runner.name === name)) return 'taken';
    const id = this.newId();
    const token = `runner-token-${id}-${Math.random().toString(36).slice(2)}`;
    const runner = {
      ...{ id, name, labels, token, connected: false, heardAt: 0, job: undefined },
    };
    this.runners.set(id, runner);
    this.everRegistered.push(name);
    return runner;
  }

  isOnline(runner: FakeRunner): boolean {
    return runner.connected && Date.now() - runner.heardAt < OFFLINE_MS;
  }

  /** Gives the runner the job that waits longest for it, if there is one. */
  assign(runner: FakeRunner): FakeJob | undefined {
    const has = new Set(runner.labels.map((label) => label.toLowerCase()));
    const job = [...this.jobs.values()].find(
      ({ status, labels }) =>
        status === 'queued' && labels.every((label) => has.has(label.toLowerCase())),
    );
    if (job === undefined) return undefined;
    job.status = 'in_progress';
    job.runner = runner;
    job.starts += 1;
    runner.job = job;
    this.#tell('in_progress', job);
    return job;
  }

  /** The runner says that its job is done, and is forgotten: it was good for one. */
  done(runner: FakeRunner, job: FakeJob): void {
    this.runners.delete(runner.id);
    runner.job = undefined;
    if (job.status === 'completed') return;
    job.status = 'completed';
    job.conclusion = job.ending === 'failure' ? 'failure' : 'success';
    this.#tell('completed', job);
  }

  /** A runner that has fallen silent loses its job after a while. */
  loseSilent(): void {
    for (const runner of this.runners.values()) {
      const { job } = runner;
      if (job === undefined || this.isOnline(runner)) continue;
      this.runners.delete(runner.id);
      job.status = 'completed';
      job.conclusion = 'failure';
      this.#tell('completed', job);
    }
  }

  #tell(action: string, job: FakeJob): void {
    for (const listener of this.#listeners) listener(action, job);
  }
}
