import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sandbox } from '../drivers/sandbox/sandbox.ts';
import type { Store } from '../drivers/store/store.ts';
import type { Limits } from '../domain/worker.ts';
import type { Clock } from '../platform/clock.ts';
import { bootId } from '../platform/process-table.ts';
import type { BaseConfig, Bases } from './bases.ts';
import { BuildError } from './build-error.ts';
import { Caches } from './caches.ts';
import { StoredHashes } from './content-hashes.ts';
import { makeManifest, type ManifestEntry } from './copy/manifest.ts';
import { Flights, type FlightClient, type FlightEnd, type FlightPlan } from './flights.ts';
import { baseKey, copyKey, manifestHash, runKey, secretTag } from './keys/step-keys.ts';
import { Layout } from './layout.ts';
import { prune, type Pruned, type PruneRules } from './prune.ts';
import { syncFileSystem } from '../platform/sync.ts';
import type { BuildEvent, BuildOutcome, StepPlace } from './report.ts';
import type { ParsedSpec } from './spec/parse.ts';
import type { CopyOp, RunOp, Spec } from './spec/spec.ts';
import { BuildIndex, type ResultRow } from './state/build-index.ts';
import { newOwner, type Owner } from './state/owner.ts';
import { collectGarbage, verify, type Problem } from './state/upkeep.ts';
import { recover, removeWithChildren } from './state/recover.ts';
import { snapshotOf } from './state/snapshot-ids.ts';
import { LogReader, replayLog } from './state/step-log.ts';
import { initialContext, nextContext, type StepContext } from './step-context.ts';
import { StepMaker, type ParentResult } from './step-maker.ts';
import { resultId, type Trust } from './trust.ts';

/** Log kept of a step when the limits say nothing: 1 GiB. */
const LOG_BYTES = 2 ** 30;

/** How often a log that grows is looked at. */
const FOLLOW_MS = 50;

export interface BuilderParts {
  readonly store: Store;
  /** Opened when a step first needs it. */
  readonly sandbox: () => Promise<Sandbox>;
  readonly bases: Bases;
  /** Directory of the index, logs and temporary files: one for each store. */
  readonly stateDir: string;
  readonly limits: Limits;
  readonly clock: Clock;
}

export interface BuildRequest {
  readonly parsed: ParsedSpec;
  /** The context of `copy`. */
  readonly contextDir: string;
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly trust: Trust;
  /** Make every step anew; what was there is replaced. */
  readonly noCache: boolean;
  readonly signal: AbortSignal;
  onEvent(event: BuildEvent): void | Promise<void>;
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
    this.#maker = new StepMaker({ ...shared, caches: this.caches, sandbox, tmpDir, limits, boot });
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
    const build = new OneBuild(this, { ...request, signal }, this.#tools());
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
    return {
      ...this.#parts,
      flights: this.#flights,
      maker: this.#maker,
      secretKey: this.#secretKey,
      owner: this.#owner.token,
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

interface BuildTools extends BuilderParts {
  readonly flights: Flights;
  readonly maker: StepMaker;
  readonly secretKey: Buffer;
  readonly owner: string;
}

/** A step's failure or a cancel, on its way out of all the builds it is in. */
class Ended extends Error {
  readonly outcome: BuildOutcome;
  constructor(outcome: BuildOutcome) {
    super('the build ended');
    this.outcome = outcome;
  }
}

type Scope = ReadonlyMap<string, Promise<ParentResult>>;

/** One build with the builds in it. */
class OneBuild {
  readonly #builder: Builder;
  readonly #request: BuildRequest;
  readonly #tools: BuildTools;
  readonly #held: string[] = [];
  readonly #begun: Promise<unknown>[] = [];

  constructor(builder: Builder, request: BuildRequest, tools: BuildTools) {
    this.#builder = builder;
    this.#request = request;
    this.#tools = tools;
  }

  async whole(spec: Spec): Promise<BuildOutcome> {
    this.#checkSecrets(spec);
    try {
      const { id } = await this.#spec(spec, [], new Map());
      return { outcome: 'succeeded', id };
    } catch (error) {
      if (error instanceof Ended) return error.outcome;
      throw error;
    }
  }

  /** Returns when all is over that the build began; its results may be removed from then on. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#begun);
    for (const id of this.#held.splice(0)) this.#builder.index.release(id, this.#tools.owner);
  }

  /** Before anything is done: it would fail for want of a secret. */
  #checkSecrets(spec: Spec): void {
    const { parsed, secrets } = this.#request;
    for (const op of spec.ops) {
      if (op.op !== 'run') continue;
      const missing = op.secrets.find(({ id }) => !secrets.has(id));
      if (missing === undefined) continue;
      throw new BuildError(
        'unknown_secret',
        parsed.positions.error(
          missing,
          `secret ${missing.id} is not given; give it by --secret ${missing.id}=FILE`,
        ).message,
      );
    }
    for (const build of spec.builds) this.#checkSecrets(build.spec);
  }

  /** Nested builds begin at once; each may copy from those before it. */
  async #spec(spec: Spec, path: readonly string[], outer: Scope): Promise<ParentResult> {
    let scope = outer;
    const nested: Promise<ParentResult>[] = [];
    for (const { name, spec: inner } of spec.builds) {
      const result = this.#begin(this.#spec(inner, [...path, name], scope));
      nested.push(result);
      scope = new Map([...scope, [name, result]]);
    }
    const own = this.#begin(this.#steps(spec, path, scope));
    const [result] = await Promise.all([own, ...nested]);
    return result;
  }

  #begin<T>(work: Promise<T>): Promise<T> {
    this.#begun.push(work);
    work.catch(() => undefined);
    return work;
  }

  async #steps(spec: Spec, path: readonly string[], scope: Scope): Promise<ParentResult> {
    const steps = spec.ops.filter(({ op }) => op === 'run' || op === 'copy').length;
    const placeOf = (index: number, heading: string): StepPlace => ({
      ...{ build: path, index, of: steps, heading },
    });
    let result = await this.#base(spec.from, placeOf(0, `from ${spec.from}`));
    let context: StepContext = {
      ...initialContext(result.layout.config.env),
      workdir: result.layout.initialWorkdir,
    };
    let index = 0;
    for (const op of spec.ops) {
      this.#request.signal.throwIfAborted();
      context = nextContext(context, op);
      if (op.op === 'run') {
        index += 1;
        result = await this.#run(result, context, op, placeOf(index, `run ${op.shell}`));
      } else if (op.op === 'copy') {
        index += 1;
        const heading = `copy ${op.src.join(' ')} ${op.dst}`;
        result = await this.#copy(result, context, op, scope, placeOf(index, heading));
      }
    }
    return result;
  }

  async #base(from: string, place: StepPlace): Promise<ParentResult> {
    await this.#request.onEvent({ type: 'step', place });
    const base = await this.#tools.bases.resolve(from, this.#request.signal);
    // What a base is does not hang on who asks for it.
    const id = baseKey(base.digest);
    const row = await this.#step(place, id, {
      id,
      heading: place.heading,
      make: (log, flight, signal) =>
        this.#tools.maker.base({ id, heading: place.heading, log, flight, signal }, base),
    });
    const config = JSON.parse(row.config ?? '{}') as BaseConfig;
    const home =
      config.layout === 'home' ? (await this.#tools.sandbox()).capabilities.homePath : '';
    return { id: row.id, snapshot: snapshotOf(row), layout: new Layout(config, home) };
  }

  async #run(
    parent: ParentResult,
    context: StepContext,
    op: RunOp,
    place: StepPlace,
  ): Promise<ParentResult> {
    await this.#request.onEvent({ type: 'step', place });
    const { secrets, trust } = this.#request;
    const tags = op.secrets.map(({ id }) =>
      secretTag(this.#tools.secretKey, secrets.get(id) ?? Buffer.alloc(0)),
    );
    const key = runKey(parent.id, context, op, tags);
    const id = resultId(key, trust);
    const { heading } = place;
    const row = await this.#step(place, key, {
      ...{ id, heading },
      make: (log, flight, signal) =>
        this.#tools.maker.run({
          ...{ id, heading, log, flight, signal },
          ...{ parent, context, op, trust, secrets },
        }),
    });
    return { id: row.id, snapshot: snapshotOf(row), layout: parent.layout };
  }

  async #copy(
    parent: ParentResult,
    context: StepContext,
    op: CopyOp,
    scope: Scope,
    place: StepPlace,
  ): Promise<ParentResult> {
    await this.#request.onEvent({ type: 'step', place });
    const source = op.from === undefined ? undefined : await scope.get(op.from);
    const row =
      source === undefined
        ? await this.#copyFrom(await this.#contextRoot(), parent, context, op, place)
        : await this.#tools.store.withSnapshot(source.snapshot, (dir) =>
            this.#copyFrom(
              { dir: source.layout.copyRoot(dir), hashes: undefined },
              parent,
              context,
              op,
              place,
            ),
          );
    return { id: row.id, snapshot: snapshotOf(row), layout: parent.layout };
  }

  async #contextRoot(): Promise<{ dir: string; hashes: StoredHashes }> {
    const { contextDir } = this.#request;
    const dir = await realpath(contextDir).catch((cause: unknown) => {
      throw new BuildError('bad_source', `the context ${contextDir} cannot be read`, { cause });
    });
    return { dir, hashes: new StoredHashes(this.#builder.index, dir) };
  }

  async #copyFrom(
    { dir, hashes }: { readonly dir: string; readonly hashes: StoredHashes | undefined },
    parent: ParentResult,
    context: StepContext,
    op: CopyOp,
    place: StepPlace,
  ): Promise<ResultRow> {
    const entries = await this.#manifest(dir, hashes, op);
    const key = copyKey(parent.id, context, op, manifestHash(entries));
    const id = resultId(key, this.#request.trust);
    const { heading } = place;
    return this.#step(place, key, {
      ...{ id, heading },
      make: (log, flight, signal) =>
        this.#tools.maker.copy({
          ...{ id, heading, log, flight, signal },
          ...{ parent, context, op, root: dir, entries },
        }),
    });
  }

  async #manifest(
    root: string,
    hashes: StoredHashes | undefined,
    { src, exclude }: CopyOp,
  ): Promise<ManifestEntry[]> {
    const { signal } = this.#request;
    const known = hashes === undefined ? {} : { hashes };
    const entries = await makeManifest({ root, src, exclude, signal, ...known });
    hashes?.save();
    return entries;
  }

  /** Takes what is there or makes it; its log is told either way. */
  async #step(place: StepPlace, key: string, plan: FlightPlan): Promise<ResultRow> {
    const begun = performance.now();
    const { signal, noCache, onEvent } = this.#request;
    const client: FlightClient = {
      signal,
      onOutput: (data) => onEvent({ type: 'output', place, data }),
      onShared: () => {
        const text = 'another build is making this step; this one waits for it';
        void onEvent({ type: 'note', place, text });
      },
    };
    if (noCache && place.index > 0 && !(await this.#builder.forget(plan.id))) {
      await onEvent({ type: 'note', place, text: 'it is in use, and so is not made anew' });
    }
    const cached = this.#cached(key, plan.id);
    let end: FlightEnd;
    if (cached === undefined) end = await this.#tools.flights.join(plan, client);
    else {
      if (cached.log !== null) await replayLog(this.#builder.logPath(cached.log), client.onOutput);
      end = { kind: 'made', row: cached, how: 'shared' };
    }
    if (end.kind === 'cancelled') throw new Ended({ outcome: 'cancelled' });
    if (end.kind === 'failed') {
      const log = this.#builder.logPath(end.log);
      throw new Ended({ outcome: 'failed', place, ending: end.ending, log });
    }
    this.#held.push(end.row.id);
    const how = cached === undefined ? end.how : 'cached';
    const ms = performance.now() - begun;
    await onEvent({ type: 'done', place, id: end.row.id, how, ms });
    return end.row;
  }

  /** An untrusted build uses what a trusted one made; never the other way round. */
  #cached(key: string, id: string): ResultRow | undefined {
    const now = this.#tools.clock.now();
    const { index } = this.#builder;
    return (
      index.useResult(key, this.#tools.owner, now) ??
      (id === key ? undefined : index.useResult(id, this.#tools.owner, now))
    );
  }
}
