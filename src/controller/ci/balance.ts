import type { RunnerClass } from '../../domain/ci/ci-job.ts';
import { decideClass, type ClassRules, type RunnerView } from '../../domain/ci/decide.ts';
import { routeJob, standbyClass, type RouteRules } from '../../domain/ci/routes.ts';
import type { Pool } from '../../domain/pool.ts';
import { ciJobOf, openCiJobs } from '../../db/queries/ci/jobs.ts';
import {
  lastRunnersOf,
  openCiRunners,
  openRunnerJobs,
  runnerGone,
  setRunnerState,
  type CiRunnerRow,
  type RunnerJobRow,
} from '../../db/queries/ci/runners.ts';
import { findPause, pause } from '../../db/queries/ci/pauses.ts';
import { findJob, insertJob } from '../../db/queries/jobs.ts';
import type { Queryable } from '../../db/database.ts';
import type { RunnerEnding } from '../../drivers/ci/ci.ts';
import type { Changes } from '../context.ts';
import { cancelJob } from '../job-endings.ts';
import { rowPhase } from './row-phase.ts';

/** What an integration's configuration says of its runners. */
export interface BalanceRules extends RouteRules, ClassRules {
  /** Runners at most, over all classes. */
  readonly max: number;
  meaningOf(exitCode: number): RunnerEnding | undefined;
}

/** How far back a class is looked at for runners that ended without a job. */
const FAILURES_SEEN = 20;

/**
 * Makes the number of runners what the waiting jobs ask for, in one transaction on fresh rows: what
 * is asked for twice is made once.
 */
export async function balance(
  changes: Changes,
  rules: BalanceRules,
  pools: readonly Pool[],
  lookedAt: number,
): Promise<void> {
  const { tx } = changes;
  const { integration } = rules;
  const jobs = (await openRunnerJobs(tx, integration)).map((row) => ({
    ...row,
    runnerClass: JSON.parse(row.runner_class) as RunnerClass,
  }));
  const runners = await runnersByJob(changes, rules, jobs);
  const paused = (await findPause(tx, integration)) !== undefined;
  const classes = await classesOf(changes, rules, pools, jobs);
  let room = paused ? 0 : rules.max - jobs.length;
  const used = new Map<string, number>();
  const use = ({ limit }: RunnerClass, count: number) =>
    used.set(limit.id, (used.get(limit.id) ?? 0) + count);
  for (const { runnerClass } of jobs) use(runnerClass, 1);
  const order = [...classes.values()].toSorted(
    (a, b) => b.runnerClass.priority - a.runnerClass.priority || a.oldest - b.oldest,
  );
  for (const { runnerClass, queued, standby, jobs: mine } of order) {
    const left = runnerClass.limit.max - (used.get(runnerClass.limit.id) ?? 0);
    const actions = decideClass({
      ...{ now: changes.now, lookedAt, queued, standby, rules, room: Math.min(room, left) },
      runners: mine.map((job) => runnerView(job, runners.get(job.id))),
      failures: await failuresOf(tx, integration, runnerClass.id),
    });
    for (const action of actions) {
      if (action.type === 'add') {
        await add(changes, rules, pools, runnerClass, action.count);
        room -= action.count;
        use(runnerClass, action.count);
      } else if (action.type === 'cancel') {
        const job = await findJob(tx, action.jobId);
        if (job !== undefined) await cancelJob(changes, job, action.reason);
      } else {
        const { reason, failed } = action;
        const name = runners.get(action.jobId)?.name ?? '';
        await setRunnerState(tx, { name, from: 'prepared', to: 'leaving', reason, failed });
      }
    }
  }
}

interface ClassDemand {
  readonly runnerClass: RunnerClass;
  queued: number;
  standby: number;
  /** When the job that waits longest was first seen. */
  oldest: number;
  readonly jobs: RunnerJob[];
}

type RunnerJob = RunnerJobRow & { readonly runnerClass: RunnerClass };

/** Classes that jobs wait for, that keep runners, or that still have some. */
async function classesOf(
  { tx }: Changes,
  rules: BalanceRules,
  pools: readonly Pool[],
  jobs: readonly RunnerJob[],
): Promise<Map<string, ClassDemand>> {
  const classes = new Map<string, ClassDemand>();
  const demand = (runnerClass: RunnerClass): ClassDemand => {
    let known = classes.get(runnerClass.id);
    if (known === undefined) {
      const oldest = Number.MAX_SAFE_INTEGER;
      known = { runnerClass, queued: 0, standby: 0, oldest, jobs: [] };
      classes.set(runnerClass.id, known);
    }
    return known;
  };
  for (const route of rules.routes) {
    const kept = standbyClass(route, rules, pools);
    if (kept !== undefined) demand(kept).standby = kept.standby;
  }
  for (const row of await openCiJobs(tx, rules.integration)) {
    if (row.state !== 'queued') continue;
    const routed = routeJob(ciJobOf(row), rules, pools);
    if (!routed.taken) continue;
    const wanted = demand(routed.runnerClass);
    wanted.queued += 1;
    wanted.oldest = Math.min(wanted.oldest, row.first_seen_at);
  }
  for (const job of jobs) demand(job.runnerClass).jobs.push(job);
  return classes;
}

function runnerView(job: RunnerJob, runner: CiRunnerRow | undefined): RunnerView {
  const phase = rowPhase(job, runner);
  const since = {
    waiting: job.submitted_at,
    starting: runner?.prepared_at,
    idle: runner?.seen_at,
    busy: runner?.took_at,
    leaving: runner?.prepared_at,
    ended: runner?.prepared_at,
  }[phase];
  const unwanted =
    job.host_state !== null && job.host_state !== 'active' && job.host_state !== 'cordoned';
  return { jobId: job.id, phase, since: since ?? job.submitted_at, unwanted };
}

/**
 * The runner of each job of ours that has one. Those whose job is over, or went to another worker,
 * are marked: the CI system is to forget them.
 */
async function runnersByJob(
  changes: Changes,
  rules: BalanceRules,
  jobs: readonly RunnerJob[],
): Promise<Map<string, CiRunnerRow>> {
  const open = new Map(jobs.map((job) => [job.id, job]));
  const runners = new Map<string, CiRunnerRow>();
  for (const row of await openCiRunners(changes.tx, rules.integration)) {
    if (row.state === 'removing') continue;
    const job = open.get(row.job_id);
    if (job?.epoch === row.epoch && job.state !== 'queued') runners.set(job.id, row);
    else await seeEnded(changes, rules, row);
  }
  return runners;
}

async function seeEnded(changes: Changes, rules: BalanceRules, row: CiRunnerRow): Promise<void> {
  const { tx } = changes;
  const { integration } = rules;
  const job = await findJob(tx, row.job_id);
  const code = job?.exit_code ?? undefined;
  const meaning = code === undefined ? undefined : rules.meaningOf(code);
  const unasked = row.state === 'prepared' && job?.cancel_requested !== 1;
  const failed = row.took_at === null && unasked && meaning !== 'served';
  const reason = job?.reason ?? (failed ? 'it ended without a job' : 'it ended');
  await runnerGone(tx, { name: row.name, failed, reason });
  if (meaning !== 'deprecated') return;
  const why = `the runner's version is not accepted any more (exit code ${code}); renew it, then \`pomona ci resume ${integration}\``;
  await pause(tx, { integration, reason: why, at: changes.now });
  await changes.event('integration', integration, 'paused', why);
}

/** How many runners of a class ended without a job, one after the other, and when the last did. */
export async function failuresOf(db: Queryable, integration: string, classId: string) {
  const last = await lastRunnersOf(db, integration, classId, FAILURES_SEEN);
  const fine = last.findIndex(({ failed }) => failed === 0);
  return {
    inARow: fine < 0 ? last.length : fine,
    lastAt: fine === 0 ? undefined : (last[0]?.removed_at ?? undefined),
  };
}

async function add(
  changes: Changes,
  rules: BalanceRules,
  pools: readonly Pool[],
  runnerClass: RunnerClass,
  count: number,
): Promise<void> {
  const pool = pools.find(({ name }) => name === runnerClass.pool);
  if (pool === undefined) return;
  for (let n = 0; n < count; n += 1) {
    const id = changes.newId('j');
    await insertJob(changes.tx, {
      ...{ id, pool: pool.name, labels: [], priority: runnerClass.priority },
      title: `runner of ${rules.integration} for ${runnerClass.labels.join(', ') || 'any job'}`,
      // Its credential and its command are made when it has a worker.
      payload: {
        ...{ command: ['runner', rules.integration], env: {}, secrets: [], artifacts: [] },
        timeoutMs: pool.maxTimeoutMs,
      },
      ...{ retries: 0, submitted_at: changes.now, idempotency_key: null, request_hash: null },
      ...{ trust: runnerClass.trust, team: runnerClass.team, integration: rules.integration },
      runner_class: JSON.stringify(runnerClass),
    });
    await changes.event('job', id, 'queued');
  }
}
