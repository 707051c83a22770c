import { routeJob, type Routed } from '../../domain/ci/routes.ts';
import type { RunnerPhase } from '../../domain/ci/runner-phase.ts';
import { retryAt } from '../../domain/ci/decide.ts';
import { percentilesOf } from '../../domain/percentiles.ts';
import type { Pool } from '../../domain/pool.ts';
import { ciJobOf, openCiJobs, startTimes, type CiJobRow } from '../../db/queries/ci/jobs.ts';
import { findPause } from '../../db/queries/ci/pauses.ts';
import {
  findCiRunner,
  openCiRunners,
  openRunnerJobs,
  readyTimes,
  type RunnerJobRow,
} from '../../db/queries/ci/runners.ts';
import type { CiJobView, IntegrationView } from '../../protocol/api/ci-resources.ts';
import type { Context } from '../context.ts';
import { failuresOf } from './balance.ts';
import { toldHealth, type HealthNotes } from './health.ts';
import type { Integration } from './integration.ts';
import { rowPhase } from './row-phase.ts';

/** Measured over so many of the last runners and jobs. */
const MEASURED = 100;
/** A look that is this many times its interval late counts as failing. */
const LATE = 4;
const LATE_MS = 60_000;

export async function integrationView(
  { db, clock }: Context,
  integration: Integration,
  pools: readonly Pool[],
): Promise<IntegrationView> {
  const { settings, driver, rules, isHere } = integration;
  const { name, kind } = settings;
  const jobs = await openCiJobs(db, name);
  const queued = jobs.filter(({ state }) => state === 'queued');
  const pause = await findPause(db, name);
  const health: HealthNotes = isHere ? integration.health : await toldHealth(db, name);
  const sinceLookMs = isHere
    ? integration.health.sinceLookMs()
    : clock.now() - (health.lookedAt ?? 0);
  const late = sinceLookMs > settings.lookMs * LATE + LATE_MS;
  const failing = health.lastError?.what === 'a look' || (late && health.lookedAt !== undefined);
  const waits = health.lookedAt === undefined && !failing;
  const reason = pause?.reason ?? (failing ? health.lastError?.message : undefined);
  const budget = driver.budget?.();
  const ready = spread((await readyTimes(db, name, MEASURED)).map(({ ms }) => ms));
  const starts = spread((await startTimes(db, name, MEASURED)).map(({ ms }) => ms));
  return {
    ...{ name, kind, location: driver.location },
    state: pause !== undefined ? 'paused' : failing ? 'failing' : waits ? 'starting' : 'ok',
    ...(reason === undefined ? {} : { reason }),
    ...(driver.receive === undefined ? {} : { webhook: `/webhooks/${name}` }),
    ...(health.lookedAt === undefined ? {} : { lastLookAt: health.lookedAt }),
    ...(health.lastEvent === undefined ? {} : { lastEvent: health.lastEvent }),
    ...(health.lastError === undefined ? {} : { lastError: health.lastError }),
    ...(budget === undefined || budget.resetAt < clock.now() ? {} : { budget: { ...budget } }),
    jobs: {
      ...{ queued: queued.length, running: jobs.length - queued.length },
      unroutable: queued.filter((row) => !routeJob(ciJobOf(row), rules, pools).taken).length,
    },
    runners: await countRunners(db, name),
    ...(ready === undefined ? {} : { readyMs: ready }),
    ...(starts === undefined ? {} : { startMs: starts }),
  };
}

async function countRunners(db: Context['db'], name: string): Promise<IntegrationView['runners']> {
  const counts = { waiting: 0, starting: 0, idle: 0, busy: 0, leaving: 0, removing: 0 };
  for (const [, phase] of await phasesOf(db, name)) {
    if (phase !== 'ended') counts[phase] += 1;
  }
  const rows = await openCiRunners(db, name);
  counts.removing = rows.filter(({ state }) => state === 'removing').length;
  return counts;
}

async function phasesOf(
  db: Context['db'],
  integration: string,
): Promise<[RunnerJobRow, RunnerPhase][]> {
  const runners = new Map(
    (await openCiRunners(db, integration))
      .filter(({ state }) => state !== 'removing')
      .map((row) => [`${row.job_id} ${row.epoch}`, row]),
  );
  return (await openRunnerJobs(db, integration)).map((job) => {
    const runner = runners.get(`${job.id} ${job.epoch}`);
    return [job, rowPhase(job, runner)];
  });
}

/** Jobs that wait or run, and for those that wait what they wait for. */
export async function ciJobViews(
  { db, clock }: Context,
  integration: Integration,
  pools: readonly Pool[],
): Promise<CiJobView[]> {
  const { name } = integration.settings;
  const paused = (await findPause(db, name))?.reason;
  const coming = new Map<string, [RunnerJobRow, RunnerPhase][]>();
  for (const entry of await phasesOf(db, name)) {
    const [job, phase] = entry;
    if (phase === 'busy' || phase === 'leaving' || phase === 'ended') continue;
    const { id } = JSON.parse(job.runner_class) as { id: string };
    coming.set(id, [...(coming.get(id) ?? []), entry]);
  }
  const views: CiJobView[] = [];
  for (const row of await openCiJobs(db, name)) {
    const routed = routeJob(ciJobOf(row), integration.rules, pools);
    views.push({
      ...commonView(row, routed),
      ...(row.state === 'running'
        ? await runningView(db, row)
        : await waitingView(routed, coming, paused)),
    });
  }
  return views;

  async function waitingView(
    how: Routed,
    runners: Map<string, [RunnerJobRow, RunnerPhase][]>,
    why: string | undefined,
  ): Promise<{ reason: string; jobId?: string }> {
    if (!how.taken) return { reason: how.reason };
    const [next, ...rest] = runners.get(how.runnerClass.id) ?? [];
    runners.set(how.runnerClass.id, rest);
    if (next !== undefined) {
      const [job, phase] = next;
      return { jobId: job.id, reason: COMING[phase] ?? phase };
    }
    if (why !== undefined) return { reason: `the integration is paused: ${why}` };
    const failures = await failuresOf(db, name, how.runnerClass.id);
    const rest_ms = retryAt(failures) - clock.now();
    if (rest_ms <= 0) return { reason: 'as many runners as it may have are in use' };
    const seconds = Math.ceil(rest_ms / 1000);
    return {
      reason: `the last ${failures.inARow} runners ended without a job; next try in ${seconds} s`,
    };
  }
}

const COMING: Partial<Record<RunnerPhase, string>> = {
  waiting: 'its runner waits for a worker; `pomona job why` says why',
  starting: 'its runner starts',
  idle: 'a runner waits for it; the CI system has to hand it over',
};

function commonView(row: CiJobRow, routed: Routed): Omit<CiJobView, 'reason'> {
  const job = ciJobOf(row);
  return {
    ...{ key: row.key, state: job.state, title: row.title, source: row.source },
    ...{
      labels: [...job.labels],
      event: job.event.name,
      queuedAt: row.queued_at ?? row.first_seen_at,
    },
    ...(row.url === null ? {} : { url: row.url }),
    ...(row.started_at === null ? {} : { startedAt: row.started_at }),
    ...(row.runner === null ? {} : { runner: row.runner }),
    ...(routed.taken ? { trust: routed.runnerClass.trust, pool: routed.runnerClass.pool } : {}),
  };
}

async function runningView(db: Context['db'], row: CiJobRow) {
  const runner = row.runner === null ? undefined : await findCiRunner(db, row.runner);
  if (runner === undefined) {
    return {
      reason: row.runner === null ? 'it runs' : `it runs on ${row.runner}, not one of ours`,
    };
  }
  return { jobId: runner.job_id, reason: 'it runs' };
}

function spread(values: readonly number[]): { p50: number; p95: number } | undefined {
  if (values.length === 0) return undefined;
  // Clocks of CI systems may be behind.
  const { p50, p95 } = percentilesOf(values.map((value) => Math.max(0, value)));
  return { p50, p95 };
}
