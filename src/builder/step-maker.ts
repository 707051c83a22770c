import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mount, Sandbox, SandboxSpec } from '../drivers/sandbox/sandbox.ts';
import { StoreError, type Store } from '../drivers/store/store.ts';
import type { Limits } from '../domain/worker.ts';
import { removeTree } from '../platform/tree.ts';
import type { ResolvedBase } from './bases.ts';
import { BuildError } from './build-error.ts';
import type { CacheLease, Caches } from './caches.ts';
import { copyInto } from './copy/copy-into.ts';
import { runStep, type StepEnd } from './execute.ts';
import type { Made } from './flights.ts';
import type { Layout } from './layout.ts';
import type { MachineOrder, MachineStepOrder, MachineSteps } from './machines/machine-steps.ts';
import type { AskPerson } from './machines/machines.ts';
import type { CacheUse, FinalizeOp, ManualOp } from './spec/spec.ts';
import { baseSnapshot, cloneName, resultSnapshot, sandboxName } from './state/snapshot-ids.ts';
import type { BuildIndex } from './state/build-index.ts';
import { joined, type StepContext } from './step-context.ts';
import type { CopyOrder, ParentResult, RunOrder, StepOrder } from './step-order.ts';
import { findUser } from './users.ts';

interface Parts {
  readonly store: Store;
  readonly sandbox: () => Promise<Sandbox>;
  readonly index: BuildIndex;
  readonly caches: Caches;
  /** Absent: it makes nothing in virtual machines. */
  readonly machines: MachineSteps | undefined;
  readonly owner: string;
  /** For what a step needs beside its files. */
  readonly tmpDir: string;
  readonly limits: Limits;
  readonly boot: string;
  readonly now: () => number;
}

type ChildOrder = StepOrder & { readonly parent: ParentResult };

/** Makes steps: clones what they go over, does their work, and commits or removes the clone. */
export class StepMaker {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Brings a base. */
  async base(order: StepOrder & MachineOrder, base: ResolvedBase): Promise<Made> {
    const { store } = this.#parts;
    return this.#make(order, { parent: undefined, snapshot: baseSnapshot(order.id) }, async () => {
      const dir = await store.createClone(cloneName(order.id));
      const config = await base.fetch(dir, {
        signal: order.signal,
        onNote: (text) => order.log.write(`${text}\n`),
        makePart: (part) => store.makePart(cloneName(order.id), part),
        install: (ipsw) => this.#machines().install(order, ipsw, dir),
      });
      return { config: JSON.stringify(config), ending: { exitCode: 0 } };
    });
  }

  /** Runs a command. */
  async run(order: RunOrder & MachineOrder): Promise<Made> {
    return this.#over(order, (dir) =>
      order.parent.layout.kind === 'machine'
        ? this.#machines().run(order, dir)
        : this.#command(order, dir),
    );
  }

  /** Lets a person do something. */
  async manual(
    order: MachineStepOrder<ManualOp> & ChildOrder & { readonly ask: AskPerson | undefined },
  ): Promise<Made> {
    return this.#over(order, (dir) => this.#machines().manual(order, dir));
  }

  /** Takes out what images must not have. */
  async finalize(order: MachineStepOrder<FinalizeOp> & ChildOrder): Promise<Made> {
    return this.#over(order, (dir) => this.#machines().finalize(order, dir));
  }

  /** Copies files. */
  async copy(order: CopyOrder & MachineOrder): Promise<Made> {
    const { parent, context, op } = order;
    return this.#over(order, async (dir) => {
      if (parent.layout.kind === 'machine') return this.#machines().copy(order, dir);
      const user = await this.#userIds(context, parent.layout, dir);
      await copyInto({
        root: order.root,
        entries: order.entries,
        dst: joined(context.workdir, op.dst),
        shown: parent.layout.shown(dir),
        owner: process.getuid?.() === 0 && parent.layout.kind === 'root' ? user : undefined,
        signal: order.signal,
      });
      return { exitCode: 0 };
    });
  }

  #machines(): MachineSteps {
    const { machines } = this.#parts;
    if (machines !== undefined) return machines;
    throw new BuildError(
      'unsupported',
      'nothing is built in virtual machines here; use `pomona image build` on a host that has them',
    );
  }

  /** Works in a clone of what a step goes over. */
  #over(order: ChildOrder, work: (dir: string) => Promise<StepEnd>): Promise<Made> {
    const { parent, id, signal } = order;
    return this.#make(order, { parent, snapshot: resultSnapshot(id) }, async () => {
      const dir = await this.#parts.store.clone(parent.snapshot, cloneName(id), signal);
      return { config: null, ending: await work(dir) };
    });
  }

  /** Commits what `work` made in the clone when it succeeded; whatever happens no clone is left. */
  async #make(
    order: StepOrder,
    place: { readonly parent: ParentResult | undefined; readonly snapshot: string },
    work: () => Promise<{ readonly config: string | null; readonly ending: StepEnd }>,
  ): Promise<Made> {
    const { store, index, owner, boot, now } = this.#parts;
    const begun = performance.now();
    const clone = cloneName(order.id);
    try {
      const { config, ending } = await work();
      if (!('exitCode' in ending) || ending.exitCode !== 0) {
        await store.deleteClone(clone);
        return { kind: 'failed', ending };
      }
      const row = {
        id: order.id,
        parent: place.parent?.id ?? null,
        heading: order.heading,
        config,
        log: order.flight.log,
        took_ms: Math.round(performance.now() - begun),
        boot,
      };
      index.beginCommit(row, owner, now());
      await store.commit(clone, place.snapshot);
      index.endCommit(order.id, owner);
      return { kind: 'committed' };
    } catch (error) {
      await store.deleteClone(clone).catch(() => undefined);
      if (order.signal.aborted) return { kind: 'failed', ending: { cancelled: true } };
      if (error instanceof StoreError && error.code === 'snapshot_missing') {
        // The next build makes it anew.
        if (place.parent !== undefined) index.forgetResult(place.parent.id);
        throw new BuildError('corrupt', `${error.message}; build again to make it anew`, {
          cause: error,
        });
      }
      throw error;
    }
  }

  async #command(order: RunOrder, dir: string): Promise<StepEnd> {
    const { limits, tmpDir } = this.#parts;
    const sandbox = await this.#parts.sandbox();
    const { parent, context, op, log, signal } = order;
    const own = join(tmpDir, cloneName(order.id));
    await removeTree(own);
    await mkdir(own, { recursive: true, mode: 0o711 });
    const leases: { lease: CacheLease; cache: CacheUse }[] = [];
    try {
      const user = await this.#userIds(context, parent.layout, dir);
      for (const [number, cache] of op.caches.entries()) {
        leases.push({ cache, lease: await this.#lease(order, cache, number) });
      }
      const mounts = leases.map(({ cache, lease }): Mount => ({
        source: lease.dir,
        target: joined(context.workdir, cache.target),
        readOnly: lease.readOnly,
      }));
      mounts.push(...(await secretMounts(order, own)));
      const spec: SandboxSpec = {
        name: sandboxName(order.id),
        files: parent.layout.files(dir),
        tmpDir: join(own, 'tmp'),
        mounts,
        network: op.network.includes('host') ? 'host' : 'none',
        user: parent.layout.kind === 'root' ? user : undefined,
        limits,
        fastSync: true,
      };
      // Processes of one that made this step before and is gone.
      await sandbox.destroy(spec);
      const request = {
        spec,
        argv: [...context.shell, op.shell],
        env: Object.fromEntries(context.env),
        workDir: parent.layout.workDir(context.workdir),
        onOutput: (chunk: Buffer) => log.write(chunk),
      };
      const ending = await runStep(sandbox, request, signal);
      for (const { lease } of leases.splice(0)) await lease.keep();
      return ending;
    } finally {
      for (const { lease } of leases) await lease.drop();
      await removeTree(own);
    }
  }

  async #lease(order: RunOrder, cache: CacheUse, number: number): Promise<CacheLease> {
    const readOnly = cache.buildkitOptions.some(
      ([name, value]) => (name === 'readonly' || name === 'ro') && value !== 'false',
    );
    const lease = await this.#parts.caches.lease(
      cache.id,
      { trust: order.trust, readOnly, cloneName: `${cloneName(order.id)}-cache-${number}` },
      order.signal,
    );
    return lease;
  }

  async #userIds({ user }: StepContext, layout: Layout, dir: string) {
    if ('uid' in user) return user;
    if (layout.kind === 'home') return undefined;
    const found = await findUser(layout.copyRoot(dir), user.name);
    if (found !== undefined) return found;
    throw new BuildError('unsupported', `the base has no user ${user.name} in its /etc/passwd`);
  }
}

async function secretMounts({ op, secrets }: RunOrder, own: string): Promise<Mount[]> {
  if (op.secrets.length === 0) return [];
  const dir = join(own, 'given');
  await mkdir(dir, { mode: 0o700 });
  const mounts: Mount[] = [];
  for (const [number, { id, target }] of op.secrets.entries()) {
    const source = join(dir, String(number));
    await rm(source, { force: true });
    await writeFile(source, secrets.get(id) ?? '', { mode: 0o600 });
    mounts.push({ source, target, readOnly: true });
  }
  return mounts;
}
