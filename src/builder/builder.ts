import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sandbox } from '../drivers/sandbox/sandbox.ts';
import type { Store } from '../drivers/store/store.ts';
import type { Limits } from '../domain/worker.ts';
import { sweepMachines } from './machines/build-vms.ts';
import { MachineSteps } from './machines/machine-steps.ts';
import type { Machines } from './machines/machines.ts';
import type { Clock } from '../platform/clock.ts';
import { bootId } from '../platform/process-table.ts';
import type { BaseConfig, Bases } from './bases.ts';
import { BuildError } from './build-error.ts';
import { Caches } from './caches.ts';
import { Flights } from './flights.ts';
import { OneBuild, type BuildRequest, type BuildTools } from './one-build.ts';
import { prune, type Pruned, type PruneRules } from './prune.ts';
import { syncFileSystem } from '../platform/sync.ts';
import type { BuildOutcome } from './report.ts';
import { BuildIndex } from './state/build-index.ts';
import type { ResultRow } from './state/index-rows.ts';
import { newOwner, type Owner } from './state/owner.ts';
import { collectGarbage, verify, type Problem } from './state/upkeep.ts';
import { recover, removeWithChildren } from './state/recover.ts';
import { snapshotOf } from './state/snapshot-ids.ts';
import { LogReader } from './state/step-log.ts';
import { StepMaker } from './step-maker.ts';

/** Log kept of a step when the limits say nothing: 1 GiB. */
const LOG_BYTES = 2 ** 30;

/** How often a log that grows is looked at. */
const FOLLOW_MS = 50;

export interface BuilderParts {
  readonly store: Store;
  /** Opened when a step first needs it. */
  readonly sandbox: () => Promise<Sandbox>;
  readonly bases: Bases;
  /** Absent: it makes nothing in virtual machines. */
  readonly machines?: Machines;
  /** Directory of the index, logs and temporary files: one for each store. */
  readonly stateDir: string;
  readonly limits: Limits;
  readonly clock: Clock;
}

/** Builds specs over one store, step by step, each step once. */
export class Builder {
  readonly index: BuildIndex;
  readonly caches: Caches;
  readonly #parts: BuilderParts;
  readonly #owner: Owner;
  readonly #flights: Flights;
  readonly #maker: StepMaker;
  readonly #secretKey: Buffer;

  /** Opens the store and removes what processes that are gone left behind. */
  static async open(parts: BuilderParts): Promise<Builder> {
    const { stateDir, store, sandbox, clock } = parts;
    for (const dir of ['', 'logs', 'tmp']) {
      // Commands' users pass through to what is theirs in tmp.
      await mkdir(join(stateDir, dir), { recursive: true, mode: 0o711 });
    }
    await store.recover();
    const index = new BuildIndex(join(stateDir, 'index.db'));
    const owner = await newOwner();
    const boot = await bootId();
    await recover({ store, sandbox, index, owner: owner.token, stateDir, boot });
    await sweepMachines(parts.machines, clock.now());
    return new Builder(parts, index, owner, boot, () => clock.now());
  }

  private constructor(
    parts: BuilderParts,
    index: BuildIndex,
    owner: Owner,
    boot: string,
    now: () => number,
  ) {
    const { store, sandbox, stateDir, limits } = parts;
    this.#parts = parts;
    this.index = index;
    this.#owner = owner;
    const shared = { store, index, owner: owner.token, now };
    this.caches = new Caches(shared);
    const logs = { dir: join(stateDir, 'logs'), limitBytes: limits.logBytes ?? LOG_BYTES };
    this.#flights = new Flights(index, owner.token, logs, now);
    const tmpDir = join(stateDir, 'tmp');
    const { caches } = this;
    const machines =
      parts.machines === undefined
        ? undefined
        : new MachineSteps({ ...shared, machines: parts.machines, caches, stateDir });
    this.#maker = new StepMaker({ ...shared, caches, machines, sandbox, tmpDir, limits, boot });
    this.#secretKey = index.secretKey();
  }

  get owner(): string {
    return this.#owner.token;
  }

  /**
   * Hands on the log of a result, or of a step that failed or is being made, from `offset` on, and
   * with `follow` also what comes until the step is over. Returns where it ended.
   */
  async readLog(
    id: string,
    options: { readonly offset: number; readonly follow: boolean; readonly signal: AbortSignal },
    to: (chunk: Buffer) => void | Promise<void>,
  ): Promise<number> {
    const flight = this.index.flight(id);
    const failure = this.index.failures().find((each) => each.id === id);
    const name = flight?.log ?? this.index.result(id)?.log ?? failure?.log;
    if (name === undefined || name === null) {
      throw new BuildError('corrupt', `there is no log of ${id} any more`);
    }
    const reader = new LogReader(this.logPath(name), options.offset);
    try {
      for (let live = true; live;) {
        // Asked before reading: what is written last is read too.
        live = options.follow && !options.signal.aborted && this.index.flight(id)?.log === name;
        await reader.drain(to);
        if (live)
          await delay(FOLLOW_MS, undefined, { signal: options.signal }).catch(() => undefined);
      }
      return reader.offset;
    } finally {
      await reader.close();
    }
  }

  logPath(name: string): string {
    return join(this.#parts.stateDir, 'logs', name);
  }

  /** Removes a result with all that was made from it. False when any of it is in use. */
  async forget(id: string): Promise<boolean> {
    const row = this.index.result(id);
    if (row === undefined) return true;
    const { store } = this.#parts;
    return removeWithChildren({ store, index: this.index, owner: this.#owner.token }, row);
  }

  /**
   * Calls `read` with the directory of a result's files and how they lie in it. Throws `StoreError`
   * `snapshot_missing`.
   */
  async withResult<T>(
    id: string,
    read: (dir: string, layout: BaseConfig['layout']) => Promise<T>,
  ): Promise<T> {
    const row = this.index.result(id);
    if (row === undefined) throw new BuildError('corrupt', `there is no result ${id}`);
    let base = row;
    for (let parent = base.parent; parent !== null; parent = base.parent) {
      const below = this.index.result(parent);
      if (below === undefined) throw new BuildError('corrupt', `there is no result ${parent}`);
      base = below;
    }
    const { layout } = JSON.parse(base.config ?? '{}') as BaseConfig;
    return this.#parts.store.withSnapshot(snapshotOf(row), (dir) => read(dir, layout));
  }

  /** Returns once all results are on the disk itself, so that no power failure spoils them. */
  async flush(): Promise<void> {
    const ids = this.index.unflushed().map(({ id }) => id);
    if (ids.length === 0) return;
    await syncFileSystem(this.#parts.stateDir);
    this.index.markFlushed(ids);
  }

  diskSpace(): Promise<{ readonly totalBytes: number; readonly freeBytes: number }> {
    return this.#parts.store.diskSpace();
  }

  /** At most so many bytes are freed when this result is removed. */
  bytesOf(row: Pick<ResultRow, 'id' | 'parent'>): Promise<number> {
    return this.#parts.store.snapshotBytes(snapshotOf(row));
  }

  /** What index, store and logs do not agree on. */
  verify(): Promise<Problem[]> {
    return verify(this.#upkeep());
  }

  /** Removes what no build left on purpose; returns what it was. */
  collectGarbage(): Promise<string[]> {
    return collectGarbage(this.#upkeep());
  }

  #upkeep() {
    const { store, stateDir } = this.#parts;
    return { store, stateDir, index: this.index, owner: this.#owner.token };
  }

  prune(rules: PruneRules): Promise<Pruned> {
    return prune({ ...this.#upkeep(), logsDir: this.logPath('') }, rules);
  }

  /** Builds. Throws `SpecError` and `BuildError`; a step that fails is an outcome. */
  async build(request: BuildRequest): Promise<BuildOutcome> {
    const over = new AbortController();
    const signal = AbortSignal.any([request.signal, over.signal]);
    const build = new OneBuild({ ...request, signal }, this.#tools());
    try {
      return await build.whole(request.parsed.spec);
    } catch (error) {
      if (request.signal.aborted) return { outcome: 'cancelled' };
      throw error;
    } finally {
      over.abort();
      await build.settled();
    }
  }

  #tools(): BuildTools {
    const { store, sandbox, bases, clock } = this.#parts;
    return {
      ...{ store, sandbox, bases, index: this.index, flights: this.#flights, maker: this.#maker },
      ...{ secretKey: this.#secretKey, owner: this.#owner.token, clock },
      logPath: (name) => this.logPath(name),
      forget: (id) => this.forget(id),
    };
  }

  /** Whether other processes wait for what this one makes. */
  waitedFor(): Promise<boolean> {
    return this.#flights.waitedFor();
  }

  /** Waits for steps that others wait for; an abort of `signal` ends these too. */
  async close(signal: AbortSignal): Promise<void> {
    await this.#flights.close(signal);
    this.index.forgetOwner(this.#owner.token);
    this.#owner.leave();
    this.index.close();
  }
}
