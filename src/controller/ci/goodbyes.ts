import {
  ABSENT_MS,
  breakerLimit,
  judgeMissing,
  type RunnerPhase,
} from '../../domain/ci/runner-phase.ts';
import type { RunnerClass, SeenRunner } from '../../domain/ci/ci-job.ts';
import { setCiJobsOfGroup } from '../../db/queries/ci/jobs.ts';
import {
  findCiRunner,
  openCiRunners,
  runnerAbsent,
  runnerRemoved,
  runnerSeen,
  setRunnerState,
  type CiRunnerRow,
} from '../../db/queries/ci/runners.ts';
import { findJob } from '../../db/queries/jobs.ts';
import { CiError, type CiDriver, type RunnerEnd } from '../../drivers/ci/ci.ts';
import { LEAK_GRACE_MS } from '../../domain/leak.ts';
import { limiter } from '../../platform/limiter.ts';
import { change, type Context } from '../context.ts';
import { cancelJob } from '../job-endings.ts';
import { integrationSource, LeakTeller } from '../leaks.ts';

interface Parts {
  readonly integration: string;
  readonly driver: CiDriver;
  /** The end of a job's log. */
  tailOf(jobId: string, epoch: number): Promise<string>;
  failed(what: string, error: unknown): void;
  done(): void;
}

const TIMEOUT_MS = 60_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 600_000;
const AT_ONCE = 4;
/** A runner that nobody knows of is offline this long before it is removed. */
const GHOST_MS = LEAK_GRACE_MS;
/** Ghosts removed in one pass at most: after an outage of the CI system there may be hundreds. */
const GHOSTS_AT_ONCE = 20;

/** Has the CI system forget runners, one by one, until it says that it did. */
export class Goodbyes {
  readonly #context: Context;
  readonly #parts: Parts;
  readonly #inTurn = limiter(AT_ONCE);
  readonly #busy = new Map<string, Promise<void>>();
  readonly #resting = new Map<string, { until: number; failures: number }>();
  /** Runners that were told to take no more jobs, by this process. */
  readonly #closed = new Set<string>();
  /** Since when runners that nobody knows of are offline. */
  readonly #ghosts = new Map<string, { since: number; at: number }>();
  readonly #leaks: LeakTeller;

  constructor(context: Context, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
    this.#leaks = new LeakTeller(context, integrationSource(parts.integration));
  }

  /** Starts what there is to start; does not wait for it. One that fails holds up no other. */
  async start(signal: AbortSignal): Promise<void> {
    const { driver, integration } = this.#parts;
    for (const row of await openCiRunners(this.#context.db, integration)) {
      if (row.state === 'leaving') this.#do(row.name, signal, (s) => this.#leave(row, s));
      if (row.state === 'removing') this.#do(row.name, signal, (s) => this.#remove(row, s));
      if (driver.takeNoMore === undefined || row.state !== 'prepared') continue;
      if (row.took_at === null || this.#closed.has(row.name)) continue;
      this.#do(row.name, signal, async (s) => {
        await driver.takeNoMore?.(nameOf(row), s);
        this.#closed.add(row.name);
      });
    }
  }

  async idle(): Promise<void> {
    await Promise.all(this.#busy.values());
  }

  #do(name: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.#busy.has(name)) return;
    if ((this.#resting.get(name)?.until ?? 0) > this.#context.clock.monotonic()) return;
    const inTime = () => work(AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
    const task = this.#inTurn(inTime)
      .then(() => void this.#resting.delete(name))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        if (!(error instanceof StillBusy)) {
          this.#parts.failed(`the goodbye of runner ${name}`, error);
        }
        const failures = (this.#resting.get(name)?.failures ?? 0) + 1;
        const wait = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
        this.#resting.set(name, { until: this.#context.clock.monotonic() + wait, failures });
      })
      .finally(() => {
        this.#busy.delete(name);
        this.#parts.done();
      });
    this.#busy.set(name, task);
  }

  /**
   * Its worker is ended once the CI system has forgotten it, and says so when it is asked again:
   * else a job could be given to it in between. One that has a job by now stays.
   */
  async #leave(row: CiRunnerRow, signal: AbortSignal): Promise<void> {
    const { driver, integration } = this.#parts;
    const answer = await driver.remove(nameOf(row), false, signal);
    const found = answer === 'busy' ? 'busy' : await driver.find(nameOf(row), signal);
    await change(this.#context, async (changes) => {
      const { tx, now } = changes;
      if (found === 'busy') {
        const back = { name: row.name, from: 'leaving', to: 'prepared', reason: null } as const;
        await setRunnerState(tx, back);
        const seen = { name: row.name, externalId: undefined, online: true, busy: true } as const;
        await runnerSeen(tx, { ...seen, took: undefined, now });
        return;
      }
      if (found !== 'absent') {
        throw new CiError('unavailable', `it is still ${found} after its removal`);
      }
      const job = await findJob(tx, row.job_id);
      if (job === undefined || job.epoch !== row.epoch) return;
      await cancelJob(changes, job, row.reason ?? 'its runner was removed');
      await changes.event('integration', integration, 'runner-left', row.reason ?? row.name);
    });
  }

  /** Its worker is gone. What the CI system says it runs cannot go on. */
  async #remove(row: CiRunnerRow, signal: AbortSignal): Promise<void> {
    const { driver, integration } = this.#parts;
    const ending = await this.#endOf(row);
    const answer = await driver.remove(nameOf(row), true, signal, ending);
    if (answer === 'busy') throw new StillBusy();
    const over = ending !== undefined && ending.outcome !== 'lost';
    const group = ending?.group ?? (await this.#groupOf(row));
    await change(this.#context, async ({ tx, now }) => {
      await runnerRemoved(tx, row.name, now);
      if (driver.runsJobs !== true || group === undefined) return;
      // What was not done is still wanted.
      const state = over ? 'gone' : 'queued';
      await setCiJobsOfGroup(tx, { integration, group, state, runner: null, now });
    });
    this.#closed.delete(row.name);
  }

  /** How a runner's job of ours ended; undefined when it goes on elsewhere. */
  async #endOf(row: CiRunnerRow): Promise<RunnerEnd | undefined> {
    const job = await findJob(this.#context.db, row.job_id);
    if (job?.state !== 'finished' || job.epoch !== row.epoch || job.outcome === null) {
      return undefined;
    }
    const group = await this.#groupOf(row);
    return {
      ...{ outcome: job.outcome, exitCode: job.exit_code ?? undefined, group },
      reason: job.reason ?? undefined,
      tail: () => this.#parts.tailOf(row.job_id, row.epoch),
    };
  }

  async #groupOf(row: CiRunnerRow): Promise<string | undefined> {
    const job = await findJob(this.#context.db, row.job_id);
    return (JSON.parse(job?.runner_class ?? '{}') as Partial<RunnerClass>).group;
  }

  /**
   * Looks after runners that a look did not list although they were seen before: asks for each
   * alone. Those that are not there for a while, and listen for jobs that never come, are ended.
   * When many are missing at once it is not believed.
   */
  async seeMissing(missing: readonly CiRunnerRow[], signal: AbortSignal): Promise<void> {
    const { driver, integration } = this.#parts;
    const { db, clock } = this.#context;
    const live = await openCiRunners(db, integration);
    const doomed: CiRunnerRow[] = [];
    for (const row of missing) {
      if (row.state !== 'prepared') continue;
      const phase: RunnerPhase = row.took_at === null ? 'idle' : 'busy';
      const now = clock.now();
      const view = { phase, absentSince: row.absent_since ?? undefined };
      const found = await driver.find(nameOf(row), signal);
      const verdict = judgeMissing(view, now, found);
      if (verdict === 'destroy') doomed.push(row);
      else if (found !== 'absent') await runnerAbsent(db, row.name, null);
      else if (row.absent_since === null) await runnerAbsent(db, row.name, now);
    }
    if (doomed.length > breakerLimit(live.length)) {
      const counts = `${doomed.length} of ${live.length} runners`;
      const why = `${counts} are unknown to the CI system at once; they are kept, for that is not believed`;
      this.#parts.failed('looking after runners', new CiError('bad_answer', why));
      return;
    }
    for (const row of doomed) {
      await change(this.#context, async (changes) => {
        const job = await findJob(changes.tx, row.job_id);
        if (job === undefined || job.epoch !== row.epoch) return;
        const seconds = Math.round(ABSENT_MS / 1000);
        const reason = `the CI system has not known its runner for ${seconds} s`;
        await cancelJob(changes, job, reason);
      });
    }
  }

  /** Removes registrations with our names that have no worker: what a restored backup forgot. */
  async removeGhosts(seen: readonly SeenRunner[], signal: AbortSignal): Promise<void> {
    const { driver, integration } = this.#parts;
    const { clock, db } = this.#context;
    const listed = new Set(seen.map(({ name }) => name));
    for (const name of this.#ghosts.keys()) if (!listed.has(name)) this.#ghosts.delete(name);
    let removed = 0;
    for (const runner of seen) {
      const row = await findCiRunner(db, runner.name);
      if (row !== undefined && row.state !== 'removed') continue;
      if (runner.state !== 'offline') {
        this.#ghosts.delete(runner.name);
        continue;
      }
      const now = clock.monotonic();
      const ghost = this.#ghosts.get(runner.name) ?? { since: now, at: clock.now() };
      this.#ghosts.set(runner.name, ghost);
      // Ours for sure: it was removed once already.
      const rest = row === undefined ? GHOST_MS : 0;
      if (now - ghost.since < rest || removed >= GHOSTS_AT_ONCE) continue;
      removed += 1;
      await driver.remove(runner, false, signal);
      this.#ghosts.delete(runner.name);
      await change(this.#context, ({ event }) =>
        event('integration', integration, 'ghost-removed', runner.name),
      );
    }
    const kind = 'runner registration';
    await this.#leaks.tell(
      [...this.#ghosts].map(([name, { at: since }]) => ({ kind, name, since })),
    );
  }
}

/** The CI system has not noticed yet that a runner is gone; it is asked again later. */
class StillBusy extends Error {}

function nameOf(row: CiRunnerRow) {
  return { name: row.name, ...(row.external_id === null ? {} : { externalId: row.external_id }) };
}
