import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ChangeBus } from '../src/controller/change-bus.ts';
import type { Context } from '../src/controller/context.ts';
import { carryOut } from '../src/controller/reconcile/carry-out.ts';
import { Lease } from '../src/controller/leases.ts';
import { observe } from '../src/controller/sessions/observe.ts';
import { migrate } from '../src/db/migrate.ts';
import { enrolHost } from '../src/db/queries/hosts.ts';
import { findJob, insertJob, type JobRow } from '../src/db/queries/jobs.ts';
import { findWorker, liveWorkersOfHost, type WorkerRow } from '../src/db/queries/workers.ts';
import { saveLease } from '../src/db/queries/leases.ts';
import type { Database } from '../src/db/database.ts';
import { newDatabase } from './database.ts';
import { newId } from '../src/domain/ids.ts';
import type { ObservedWorker, WorkerSpec } from '../src/domain/worker.ts';
import { silentLogger } from '../src/platform/logger.ts';

const SPEC: WorkerSpec = {
  ...{ kind: 'sandbox', pool: 'default', sandbox: 'process', store: 'copy', limits: {} },
  image: { name: 'empty', digest: `sha256:${'0'.repeat(64)}` },
};

/** A lease that this controller has for good. */
export async function heldLease(context: Context, name: string): Promise<Lease> {
  const lease = new Lease(name, context);
  const { controllerId: holder } = context;
  await saveLease(context.db, { name, holder, epoch: 1, expires_at: Number.MAX_SAFE_INTEGER });
  lease.renewed(1, Infinity);
  return lease;
}

/** What the parts of a controller work with, on a real database, with a clock that tests move. */
export class ControllerFixture {
  readonly dir: string;
  readonly context: Context;
  readonly time = { wall: 1_800_000_000_000, monotonic: 0 };
  readonly hostId = 'h-1';

  static async make(t: TestContext): Promise<ControllerFixture> {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-controller-'));
    const fixture = new ControllerFixture(dir, await newDatabase(dir));
    const { db } = fixture.context;
    t.after(async () => {
      await db.close();
      await rm(dir, { recursive: true });
    });
    await migrate(db);
    await enrolHost(db, { id: fixture.hostId, name: 'mac-1', credentialHash: 'hash', now: 0 });
    return fixture;
  }

  private constructor(dir: string, db: Database) {
    this.dir = dir;
    this.context = {
      db,
      newId,
      clock: {
        ...{ now: () => this.time.wall, monotonic: () => this.time.monotonic },
        every: () => () => undefined,
      },
      bus: new ChangeBus(),
      log: silentLogger,
      ...{ fleet: 'f00f00', controllerId: 'c-1' },
    };
  }

  /** A waiting job. */
  async job(options: { retries?: number; pool?: string } = {}): Promise<string> {
    const id = newId('j', this.time.wall);
    await insertJob(this.context.db, {
      ...{ id, title: null, pool: options.pool ?? null, labels: [], priority: 0 },
      ...{ retries: options.retries ?? 0, submitted_at: this.time.wall },
      ...{ idempotency_key: null, request_hash: null },
      payload: { command: ['true'], env: {}, secrets: [], artifacts: [], timeoutMs: 1000 },
    });
    return id;
  }

  /** A worker that its host observed as ready. */
  async readyWorker(more: { jobs?: number } = {}): Promise<string> {
    const { db } = this.context;
    const before = new Set((await liveWorkersOfHost(db, this.hostId)).map(({ id }) => id));
    const spec = { ...SPEC, ...more };
    await carryOut(this.context, [{ type: 'create', hostId: this.hostId, spec }]);
    const made = (await liveWorkersOfHost(db, this.hostId)).find(({ id }) => !before.has(id));
    if (made === undefined) throw new Error('no worker was made');
    await this.saw({ id: made.id, state: 'ready' });
    return made.id;
  }

  /** A job together with the worker it was given to. */
  async assigned(options: { retries?: number } = {}): Promise<{ jobId: string; workerId: string }> {
    const jobId = await this.job(options);
    const workerId = await this.readyWorker();
    await carryOut(this.context, [{ type: 'assign', jobId, workerId }]);
    return { jobId, workerId };
  }

  /** The host reports on one worker. */
  saw(worker: Partial<ObservedWorker> & Pick<ObservedWorker, 'id' | 'state'>): Promise<void> {
    return this.reported({ complete: false, workers: [{ epoch: 1, ...worker }] });
  }

  reported(report: Parameters<typeof observe>[2], hostId = this.hostId): Promise<void> {
    return observe(this.context, hostId, report);
  }

  async jobRow(id: string): Promise<JobRow> {
    const row = await findJob(this.context.db, id);
    if (row === undefined) throw new Error(`there is no job ${id}`);
    return row;
  }

  async workerRow(id: string): Promise<WorkerRow> {
    const row = await findWorker(this.context.db, id);
    if (row === undefined) throw new Error(`there is no worker ${id}`);
    return row;
  }
}
