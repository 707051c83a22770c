import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { CiJob, SeenRunner } from '../../domain/ci/ci-job.ts';
import type { Found } from '../../domain/ci/runner-phase.ts';
import { DEFAULT_TRUST } from '../../domain/ci/trust.ts';
import type { Database } from '../../db/database.ts';
import { migrate } from '../../db/migrate.ts';
import { openCiRunners } from '../../db/queries/ci/runners.ts';
import { assignJob, findJob, finishJob, listJobs } from '../../db/queries/jobs.ts';
import { enrolHost, saveHostFacts } from '../../db/queries/hosts.ts';
import { giveJob, insertWorker, setWorkerState } from '../../db/queries/workers.ts';
import { newDatabase } from '../../../test/database.ts';
import { CiError, type CiDriver, type CiView } from '../../drivers/ci/ci.ts';
import { silentLogger } from '../../platform/logger.ts';
import { poolSpecSchema } from '../../protocol/api/resources.ts';
import { ChangeBus } from '../change-bus.ts';
import type { Context } from '../context.ts';
import { Secrets } from '../secrets.ts';
import { newId } from '../../domain/ids.ts';
import { heldLease } from '../../../test/controller-fixture.ts';
import type { Lease } from '../leases.ts';
import { Integration } from './integration.ts';

const POOL = poolSpecSchema.parse({ name: 'macs', labels: ['mac'] });
const HOUR = 3_600_000;

/** A CI system that is what a test says, and notes what is asked of it. */
class PlayedCi implements CiDriver {
  readonly location = 'here';
  readonly exact = false;
  readonly impliedLabels = [];
  complete: CiView['complete'] = 'all';
  jobs: CiJob[] = [];
  runners: SeenRunner[] = [];
  /** What `find` says of runners that are not listed. */
  found: Found = 'absent';
  removal: 'removed' | 'busy' = 'removed';
  /** Name of a runner that cannot be removed. */
  stuck: string | undefined;
  trouble: Error | undefined;
  readonly removed: string[] = [];
  readonly prepared: string[] = [];

  async look(): Promise<CiView> {
    if (this.trouble !== undefined) throw this.trouble;
    return { complete: this.complete, jobs: this.jobs, runners: this.runners };
  }
  async prepare({ name }: { name: string }) {
    this.prepared.push(name);
    return { command: ['true'], env: {}, secretEnv: { TOKEN: 'hush-hush' } };
  }
  async find({ name }: { name: string }): Promise<Found> {
    return this.runners.find((each) => each.name === name)?.state ?? this.found;
  }
  async remove({ name }: { name: string }) {
    if (this.stuck === name) throw new CiError('unavailable', 'stuck');
    if (this.removal === 'removed') {
      this.removed.push(name);
      this.runners = this.runners.filter((each) => each.name !== name);
    }
    return this.removal;
  }
  async check() {
    return [];
  }
}

function queued(key: string): CiJob {
  return {
    ...{ key, state: 'queued', labels: ['mac'], source: 'acme/app', title: key },
    event: { name: 'push', fork: false },
  };
}

describe('an integration', () => {
  let dir: string;
  let db: Database;
  let context: Context;
  let ci: PlayedCi;
  let integration: Integration;
  let lease: Lease;
  /** How far the clock was turned on, ms. */
  let later = 0;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pomona-ci-'));
    db = await newDatabase(dir);
    await migrate(db);
    later = 0;
    const clock = {
      now: () => Date.now() + later,
      monotonic: () => performance.now() + later,
      every: () => () => undefined,
    };
    context = {
      newId,
      db,
      clock,
      bus: new ChangeBus(),
      log: silentLogger,
      fleet: 'abc',
      controllerId: 'c-1',
    };
    lease = await heldLease(context, 'integration ci');
    ci = new PlayedCi();
    await enrolHost(db, { id: 'h-1', name: 'one', credentialHash: 'x', now: 0 });
    const facts = { os: 'macos', osVersion: '15.1', arch: 'arm64' };
    await saveHostFacts(db, { id: 'h-1', facts: facts as never, agentVersion: '1' });
    start();
  });
  afterEach(async () => {
    await integration.close();
    await db.close();
    await rm(dir, { recursive: true });
  });

  function start(): void {
    integration = new Integration(
      context,
      {
        ...{ name: 'ci', kind: 'played', routes: [], trust: DEFAULT_TRUST, max: 100 },
        ...{ idleMs: 60_000, registerMs: 300_000, standbyMs: 12 * HOUR, lookMs: 20 },
      },
      {
        ...{ driver: ci, secrets: new Secrets(context, Buffer.alloc(32)), lease },
        pools: async () => [POOL],
        tailOf: async () => '',
      },
    );
  }

  const open = async () =>
    (await listJobs(db, { state: undefined, pool: undefined, before: undefined }, 1_000)).filter(
      ({ state }) => state !== 'finished',
    );
  const runners = () => openCiRunners(db, 'ci');

  async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!(await condition())) {
      assert.ok(Date.now() < deadline, what);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Looks, so many more, all of what is as it is now. */
  async function looks(count = 3): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const before = integration.health.lookedAt;
      later += 1;
      integration.tryAgain();
      await until('a look', async () => integration.health.lookedAt !== before);
    }
  }

  /** Gives a waiting job a worker, as the scheduler would, and waits for its credential. */
  async function placed(n: number): Promise<{ jobId: string; name: string }> {
    const job = (await open()).find(({ state }) => state === 'queued');
    assert.ok(job !== undefined);
    const id = `w-${n}`;
    const spec = { kind: 'vm', pool: 'macs', image: { name: 'i', digest: '' }, limits: {} };
    const common = { id, epoch: 1, hostId: 'h-1', specKey: '', now: 0 };
    await insertWorker(db, { ...common, spec: spec as never });
    await setWorkerState(db, { id, state: 'ready', reason: undefined, now: 0 });
    await giveJob(db, { id, jobId: job.id, now: 0 });
    await assignJob(db, {
      ...{ id: job.id, workerId: id, hostName: 'one', pool: 'mac', warm: false, now: 0 },
    });
    integration.poke();
    const name = `pomona-abc-${id}`;
    await until('its credential', async () =>
      (await runners()).some((row) => row.name === name && row.state === 'prepared'),
    );
    return { jobId: job.id, name };
  }

  /** A runner that the CI system has seen. */
  async function registered(n: number, state: SeenRunner['state'] = 'idle') {
    const runner = await placed(n);
    ci.runners.push({ name: runner.name, state });
    await until('it is seen', async () =>
      (await runners()).some((row) => row.name === runner.name && row.seen_at !== null),
    );
    return runner;
  }

  const isCancelled = async (jobId: string) => (await findJob(db, jobId))?.cancel_requested === 1;

  test('the same job told again and again has one runner', async () => {
    ci.jobs = [queued('1')];
    await looks(10);
    assert.equal((await open()).length, 1);
  });

  test('nothing is decided before the first look', async () => {
    ci.jobs = [queued('1'), queued('2')];
    await looks();
    await integration.close();
    ci.trouble = new CiError('unavailable', 'down');
    ci.jobs = [];
    start();
    await until('a look fails', async () => integration.health.lastError !== undefined);
    // Closing waits for the pass after it.
    await integration.close();
    assert.equal((await open()).length, 2);
  });

  test('a job that one listing left out is still wanted; one that two left out is gone', async () => {
    ci.jobs = [queued('1'), queued('2')];
    await looks();
    ci.jobs = [queued('1')];
    await looks(1);
    ci.jobs = [queued('1'), queued('2')];
    await looks();
    assert.equal((await open()).length, 2);
    ci.jobs = [queued('1')];
    await until('it is gone', async () => (await open()).length === 1);
  });

  test('jobs of a repository that nobody can look at any more are forgotten after two days', async () => {
    ci.jobs = [queued('1')];
    await looks();
    ci.jobs = [];
    ci.complete = ['acme/other'];
    await looks(4);
    later += 24 * HOUR;
    await looks(4);
    assert.equal((await open()).length, 1);
    later += 27 * HOUR;
    await looks(2);
    await until('it is forgotten', async () => (await open()).length === 0);
  });

  test('a runner that never registers is capacity until its time is over, then another is made', async () => {
    ci.jobs = [queued('1')];
    await looks();
    const { jobId, name } = await placed(1);
    await looks();
    assert.equal((await open()).length, 1);
    later += 300_000;
    await until('it is given up', () => isCancelled(jobId));
    await until('another is made', async () => (await open()).length === 2);
    assert.deepEqual(ci.removed, [name]);
  });

  test('a runner that the CI system forgot, and that listens for ever, is ended after a minute', async () => {
    ci.jobs = [queued('1')];
    await looks();
    const { jobId } = await registered(1);
    ci.runners = [];
    await looks(5);
    assert.equal(await isCancelled(jobId), false);
    later += 61_000;
    await until('it is ended', () => isCancelled(jobId));
  });

  test('a runner that a listing left out stays when it is there for who asks for it', async () => {
    ci.jobs = [queued('1')];
    await looks();
    const { jobId } = await registered(1, 'busy');
    ci.runners = [];
    ci.found = 'busy';
    await looks();
    later += HOUR;
    await looks();
    assert.equal(await isCancelled(jobId), false);
  });

  test('when many runners are missing at once none is ended', async () => {
    ci.jobs = Array.from({ length: 6 }, (_, index) => queued(String(index)));
    await looks();
    const all = [];
    for (let n = 1; n <= 6; n += 1) all.push(await registered(n, 'busy'));
    ci.runners = [];
    await looks();
    later += 61_000;
    await looks(5);
    for (const { jobId } of all) assert.equal(await isCancelled(jobId), false);
    assert.match(integration.health.lastError?.message ?? '', /6 of 6 runners are unknown/);
  });

  test('an idle runner that got a job while it was to go stays', async () => {
    ci.jobs = [queued('1')];
    await looks();
    const { jobId, name } = await registered(1);
    ci.jobs = [];
    ci.removal = 'busy';
    await looks();
    later += 61_000;
    await until('it is found busy', async () =>
      (await runners()).some((row) => row.name === name && row.took_at !== null),
    );
    assert.equal(await isCancelled(jobId), false);
    assert.equal((await runners())[0]?.state, 'prepared');
  });

  test('a removal that fails is tried again, and holds up no other', async () => {
    ci.jobs = [queued('1'), queued('2')];
    await looks();
    const [one, two] = [await registered(1), await registered(2)];
    ci.jobs = [];
    ci.stuck = one.name;
    await looks();
    later += 61_000;
    await until('the other ends', () => isCancelled(two.jobId));
    assert.deepEqual(ci.removed, [two.name]);
    assert.equal(await isCancelled(one.jobId), false);
    ci.stuck = undefined;
    later += HOUR;
    await until('it ends, too', () => isCancelled(one.jobId));
  });

  test('after an outage of the CI system its offline leftovers go a few at a time', async () => {
    ci.runners = Array.from({ length: 50 }, (_, index) => ({
      ...{ name: `pomona-abc-w-old-${index}`, state: 'offline' as const },
    }));
    ci.runners.push({ name: 'pomona-abc-w-someone', state: 'busy' });
    ci.runners.push({ name: 'pomona-xyz-w-another-fleet', state: 'offline' });
    await looks();
    assert.equal(ci.removed.length, 0);
    later += 601_000;
    await looks(1);
    assert.ok(ci.removed.length <= 40, `${ci.removed.length} at once`);
    await until('all are gone', async () => ci.removed.length >= 50);
    assert.ok(!ci.removed.includes('pomona-abc-w-someone'));
  });

  test('a runner that ended is forgotten at the CI system, and a new one has a new name', async () => {
    ci.jobs = [queued('1')];
    await looks();
    const { jobId, name } = await registered(1);
    await finishJob(db, {
      ...{ id: jobId, outcome: 'lost', exitCode: undefined, reason: 'its host is gone' },
      ...{ startedAt: undefined, finishedAt: 1, logBytes: undefined },
    });
    integration.poke();
    await until('it is removed', async () => ci.removed.includes(name));
    await until('another is made', async () => (await open()).length === 1);
    const next = await placed(2);
    assert.notEqual(next.name, name);
    assert.equal(new Set(ci.prepared).size, ci.prepared.length);
  });

  test('a credential whose making was interrupted is removed, and another is made', async () => {
    ci.jobs = [queued('1')];
    await looks();
    const { jobId, name } = await placed(1);
    await integration.close();
    // As it was when the process died in the middle of making it.
    await db.run("UPDATE ci_runners SET state = 'preparing', sealed = NULL");
    start();
    await until('another name', async () => ci.prepared.includes(`${name}-2`));
    await until('the first is removed', async () => ci.removed.includes(name));
    assert.equal((await findJob(db, jobId))?.state, 'assigned');
  });

  test('secrets of runners are sealed at rest', async () => {
    ci.jobs = [queued('1')];
    await looks();
    await placed(1);
    const rows = await db.all<{ sealed: string; payload: string }>(
      'SELECT r.sealed, j.payload FROM ci_runners r JOIN jobs j ON j.id = r.job_id',
    );
    assert.ok(rows.every(({ sealed, payload }) => !`${sealed}${payload}`.includes('hush-hush')));
  });
});
