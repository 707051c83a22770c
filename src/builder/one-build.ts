import { realpath } from 'node:fs/promises';
import type { Sandbox } from '../drivers/sandbox/sandbox.ts';
import type { Store } from '../drivers/store/store.ts';
import type { Clock } from '../platform/clock.ts';
import type { BaseConfig, Bases } from './bases.ts';
import { BuildError } from './build-error.ts';
import { StoredHashes } from './content-hashes.ts';
import { makeManifest, type ManifestEntry } from './copy/manifest.ts';
import type { FlightClient, FlightEnd, FlightPlan, Flights } from './flights.ts';
import {
  baseKey,
  copyKey,
  finalizeKey,
  manifestHash,
  manualKey,
  runKey,
  secretTag,
} from './keys/step-keys.ts';
import { Layout } from './layout.ts';
import type { MachineOrder } from './machines/machine-steps.ts';
import type { AskPerson } from './machines/machines.ts';
import type { BuildEvent, BuildOutcome, StepPlace } from './report.ts';
import type { ParsedSpec } from './spec/parse.ts';
import {
  headingOf,
  isStep,
  type CopyOp,
  type FinalizeOp,
  type ManualOp,
  type RunOp,
  type Spec,
} from './spec/spec.ts';
import type { BuildIndex } from './state/build-index.ts';
import type { ResultRow } from './state/index-rows.ts';
import { snapshotOf } from './state/snapshot-ids.ts';
import { replayLog } from './state/step-log.ts';
import { initialContext, nextContext, type StepContext } from './step-context.ts';
import type { StepMaker } from './step-maker.ts';
import type { ParentResult } from './step-order.ts';
import { resultId, type Trust } from './trust.ts';

export interface BuildRequest {
  readonly parsed: ParsedSpec;
  /** The context of `copy`. */
  readonly contextDir: string;
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly trust: Trust;
  /** Make every step anew; what was there is replaced. */
  /** Not what persons did, and what it rests on. */
  readonly noCache: boolean;
  /** For its virtual machines, which look the same to the network; absent: the spec's file. */
  readonly identity?: string;
  /** Absent: what only a person can do fails. */
  readonly ask?: AskPerson;
  readonly signal: AbortSignal;
  onEvent(event: BuildEvent): void | Promise<void>;
}

/** What builds share. */
export interface BuildTools {
  readonly store: Store;
  readonly sandbox: () => Promise<Sandbox>;
  readonly bases: Bases;
  readonly index: BuildIndex;
  readonly flights: Flights;
  readonly maker: StepMaker;
  readonly secretKey: Buffer;
  readonly owner: string;
  readonly clock: Clock;
  logPath(name: string): string;
  /** Removes a result with all that was made from it. False when any of it is in use. */
  forget(id: string): Promise<boolean>;
}

/** A step's failure or a cancel, on its way out of all the builds it is in. */
class Ended extends Error {
  readonly outcome: BuildOutcome;
  constructor(outcome: BuildOutcome) {
    super('the build ended');
    this.outcome = outcome;
  }
}

/** What a copy goes over. */
interface CopyOver {
  readonly parent: ParentResult;
  readonly context: StepContext;
  readonly machine: MachineOrder;
}

type Scope = ReadonlyMap<string, Nested>;

interface Nested {
  readonly path: readonly string[];
  readonly result: Promise<ParentResult>;
}

/** One build with the builds in it. */
export class OneBuild {
  readonly #request: BuildRequest;
  readonly #tools: BuildTools;
  readonly #held: string[] = [];
  readonly #begun: Promise<unknown>[] = [];

  constructor(request: BuildRequest, tools: BuildTools) {
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
    for (const id of this.#held.splice(0)) this.#tools.index.release(id, this.#tools.owner);
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
      const innerPath = [...path, name];
      const result = this.#begin(this.#spec(inner, innerPath, scope));
      nested.push(result);
      scope = new Map([...scope, [name, { path: innerPath, result }]]);
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
    const steps = spec.ops.filter(isStep).length;
    const byHand = spec.ops.filter(isStep).findLastIndex(({ op }) => op === 'manual') + 1;
    const machine = this.#machine(spec, path);
    const placeOf = (index: number, heading: string): StepPlace => ({
      ...{ build: path, index, of: steps, heading },
      // What a person did is not asked for again, nor is what it was done over.
      ...(index <= byHand ? { kept: true } : {}),
    });
    let result = await this.#base(spec.from, machine, placeOf(0, `from ${spec.from}`));
    let context: StepContext = {
      ...initialContext(result.layout.config.env),
      ...{ workdir: result.layout.initialWorkdir, user: result.layout.initialUser },
    };
    let index = 0;
    for (const op of spec.ops) {
      this.#request.signal.throwIfAborted();
      context = nextContext(context, op);
      if (op.op === 'run') {
        index += 1;
        result = await this.#run(result, context, op, machine, placeOf(index, headingOf(op)));
      } else if (op.op === 'copy') {
        index += 1;
        const over = { parent: result, context, machine };
        const nested = op.from === undefined ? undefined : scope.get(op.from);
        const place = placeOf(index, headingOf(op));
        const copies = nested === undefined ? {} : { copies: nested.path };
        result = await this.#copy(over, op, nested, { ...place, ...copies });
      } else if (isStep(op)) {
        index += 1;
        result = await this.#machineStep(result, op, machine, placeOf(index, headingOf(op)));
      }
    }
    return result;
  }

  #machine(spec: Spec, path: readonly string[]): MachineOrder {
    const { identity, parsed } = this.#request;
    const whose = identity ?? parsed.positions.file;
    return { machine: spec.machine ?? {}, identity: [whose, ...path].join('/') };
  }

  async #base(from: string, machine: MachineOrder, place: StepPlace): Promise<ParentResult> {
    await this.#request.onEvent({ type: 'step', place });
    const base = await this.#tools.bases.resolve(from, machine.machine, this.#request.signal);
    // What a base is does not hang on who asks for it.
    const id = baseKey(base.digest);
    const row = await this.#step(place, id, {
      id,
      heading: place.heading,
      make: (log, flight, signal) =>
        this.#tools.maker.base(
          { ...{ id, heading: place.heading, log, flight, signal }, ...machine },
          base,
        ),
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
    machine: MachineOrder,
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
          ...{ parent, context, op, trust, secrets, ...machine },
        }),
    });
    return { id: row.id, snapshot: snapshotOf(row), layout: parent.layout };
  }

  /** What there is in virtual machines alone. */
  async #machineStep(
    parent: ParentResult,
    op: ManualOp | FinalizeOp,
    machine: MachineOrder,
    place: StepPlace,
  ): Promise<ParentResult> {
    await this.#request.onEvent({ type: 'step', place });
    if (parent.layout.kind !== 'machine') {
      throw new BuildError('unsupported', `${op.op} is for virtual machines, and the base is none`);
    }
    const { trust, ask } = this.#request;
    const { maker } = this.#tools;
    const key = op.op === 'manual' ? manualKey(parent.id, op) : finalizeKey(parent.id, op);
    const id = resultId(key, trust);
    const { heading } = place;
    const row = await this.#step(place, key, {
      ...{ id, heading },
      make: (log, flight, signal) => {
        const order = { ...{ id, heading, log, flight, signal }, ...machine, parent };
        return op.op === 'manual'
          ? maker.manual({ ...order, op, ask })
          : maker.finalize({ ...order, op });
      },
    });
    return { id: row.id, snapshot: snapshotOf(row), layout: parent.layout };
  }

  async #copy(
    over: CopyOver,
    op: CopyOp,
    nested: Nested | undefined,
    place: StepPlace,
  ): Promise<ParentResult> {
    await this.#request.onEvent({ type: 'step', place });
    const source = await nested?.result;
    const row =
      source === undefined
        ? await this.#copyFrom(await this.#contextRoot(), over, op, place)
        : await this.#tools.store.withSnapshot(source.snapshot, (dir) =>
            this.#copyFrom(
              { dir: source.layout.copyRoot(dir), hashes: undefined },
              over,
              op,
              place,
            ),
          );
    return { id: row.id, snapshot: snapshotOf(row), layout: over.parent.layout };
  }

  async #contextRoot(): Promise<{ dir: string; hashes: StoredHashes }> {
    const { contextDir } = this.#request;
    const dir = await realpath(contextDir).catch((cause: unknown) => {
      throw new BuildError('bad_source', `the context ${contextDir} cannot be read`, { cause });
    });
    return { dir, hashes: new StoredHashes(this.#tools.index, dir) };
  }

  async #copyFrom(
    { dir, hashes }: { readonly dir: string; readonly hashes: StoredHashes | undefined },
    { parent, context, machine }: CopyOver,
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
          ...{ parent, context, op, root: dir, entries, ...machine },
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
    if (noCache && place.index > 0 && place.kept !== true && !(await this.#tools.forget(plan.id))) {
      await onEvent({ type: 'note', place, text: 'it is in use, and so is not made anew' });
    }
    const cached = this.#cached(key, plan.id);
    let end: FlightEnd;
    if (cached === undefined) end = await this.#tools.flights.join(plan, client);
    else {
      if (cached.log !== null) await replayLog(this.#tools.logPath(cached.log), client.onOutput);
      end = { kind: 'made', row: cached, how: 'shared' };
    }
    if (end.kind === 'cancelled') throw new Ended({ outcome: 'cancelled' });
    if (end.kind === 'failed') {
      const log = this.#tools.logPath(end.log);
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
    const { index } = this.#tools;
    return (
      index.useResult(key, this.#tools.owner, now) ??
      (id === key ? undefined : index.useResult(id, this.#tools.owner, now))
    );
  }
}
