import type { CiJob, CiJobGone, SeenRunner } from '../../domain/ci/ci-job.ts';
import {
  endCiJob,
  findCiJob,
  missCiJob,
  openCiJobs,
  saveCiJob,
  type CiJobRow,
} from '../../db/queries/ci/jobs.ts';
import {
  findCiRunner,
  openCiRunners,
  runnerIdles,
  runnerSeen,
  setRunnerState,
  type CiRunnerRow,
} from '../../db/queries/ci/runners.ts';
import type { CiNews, CiView } from '../../drivers/ci/ci.ts';
import type { Changes } from '../context.ts';

/** How an integration's observations are to be read. */
export interface Reading {
  readonly integration: string;
  readonly exact: boolean;
  /** Its runners have one task after the other. */
  readonly many: boolean;
  /** Its runners would take a second job. */
  readonly takesMore: boolean;
}

/** GitHub cancels what waits for longer than two days. */
const FORGOTTEN_MS = 50 * 3_600_000;

/**
 * Records what a whole look found. What it is complete for and does not list is gone once two looks
 * in a row did not list it: a listing read page by page may skip what moves. Returns the runners
 * that were seen before and are not listed.
 */
export async function takeInLook(
  changes: Changes,
  reading: Reading,
  view: CiView,
  startedAt: number,
): Promise<CiRunnerRow[]> {
  const { tx, now } = changes;
  const { integration, exact } = reading;
  for (const job of view.jobs) await takeInJob(changes, reading, job);
  const listed = new Set(view.jobs.map(({ key }) => key));
  for (const row of await openCiJobs(tx, integration)) {
    // Of a source that nobody can look at any more: a repository that is gone.
    const forgotten = view.complete.length > 0 && now - row.first_seen_at > FORGOTTEN_MS;
    const covered = view.complete === 'all' || view.complete.includes(row.source) || forgotten;
    if (!covered || listed.has(row.key) || row.first_seen_at >= startedAt) continue;
    const missedBefore = row.missing_since !== null && row.missing_since < startedAt;
    if (exact || missedBefore) await endCiJob(tx, integration, row.key, now);
    else await missCiJob(tx, integration, row.key, startedAt);
  }
  const rows = await openCiRunners(tx, integration);
  await takeInRunners(changes, reading, rows, view.runners);
  const names = new Set(view.runners.map(({ name }) => name));
  return rows.filter((row) => row.seen_at !== null && !names.has(row.name));
}

/** Records news: what they do not name did not change. */
export async function takeInNews(changes: Changes, reading: Reading, news: CiNews): Promise<void> {
  const { tx, now } = changes;
  const { integration } = reading;
  for (const job of news.jobs ?? []) {
    if (job.state === 'gone') await takeInGone(changes, reading, job);
    else await takeInJob(changes, reading, job);
  }
  if (news.queue !== undefined) {
    const listed = new Set(news.queue.map(({ key }) => key));
    for (const job of news.queue) await takeInJob(changes, reading, job);
    for (const row of await openCiJobs(tx, integration)) {
      if (!listed.has(row.key)) await endCiJob(tx, integration, row.key, now);
    }
  }
  if (news.runners === undefined || news.runners.length === 0) return;
  const rows = await openCiRunners(tx, integration);
  await takeInRunners(changes, reading, rows, news.runners);
}

/** States only move forward: a delivery that comes late or twice changes nothing. */
async function takeInJob(changes: Changes, reading: Reading, job: CiJob): Promise<void> {
  const { tx, now } = changes;
  const { integration, exact } = reading;
  const known = await findCiJob(tx, integration, job.key);
  if (known?.state === 'gone' && !exact) return;
  if (known?.state === 'running' && job.state === 'queued') return;
  if (known !== undefined && sameJob(known, job)) return;
  await saveCiJob(tx, integration, job, now);
  if (known?.state !== job.state) {
    await changes.event('integration', integration, `job-${job.state}`, job.title);
  }
  if (job.state === 'running') await took(changes, reading, job.runner, job.title);
}

function sameJob(known: CiJobRow, job: CiJob): boolean {
  return (
    known.state === job.state &&
    known.missing_since === null &&
    known.runner === (job.runner ?? known.runner) &&
    known.labels === JSON.stringify(job.labels) &&
    known.event === JSON.stringify(job.event) &&
    known.title === job.title
  );
}

async function takeInGone(changes: Changes, reading: Reading, gone: CiJobGone): Promise<void> {
  const { tx, now } = changes;
  const { integration } = reading;
  const known = await findCiJob(tx, integration, gone.key);
  if (known?.state === 'gone') return;
  await endCiJob(tx, integration, gone.key, now);
  await changes.event('integration', integration, 'job-gone', known?.title);
  // It may be the only news of it: the runner that had it has no other job to wait for.
  await took(changes, reading, gone.runner, known?.title);
}

async function took(
  changes: Changes,
  { integration }: Reading,
  name: string | undefined,
  title: string | undefined,
): Promise<void> {
  if (name === undefined) return;
  const row = await findCiRunner(changes.tx, name);
  if (row === undefined || row.integration !== integration || row.state === 'removed') return;
  const seen = { name, externalId: undefined, online: true, busy: true, took: title };
  await runnerSeen(changes.tx, { ...seen, now: changes.now });
}

async function takeInRunners(
  changes: Changes,
  reading: Reading,
  rows: readonly CiRunnerRow[],
  seen: readonly SeenRunner[],
): Promise<void> {
  const byName = new Map(rows.map((row) => [row.name, row]));
  for (const runner of seen) {
    const row = byName.get(runner.name);
    if (row === undefined || row.state === 'removing') continue;
    const busy = runner.state === 'busy' || runner.hadJob === true;
    await runnerSeen(changes.tx, {
      ...{ name: row.name, externalId: runner.externalId, busy, now: changes.now },
      ...{ online: runner.state !== 'offline', took: busy ? runner.job : undefined },
    });
    if (reading.many && !busy && row.took_at !== null) await runnerIdles(changes.tx, row.name);
    if (row.seen_at === null && runner.state !== 'offline') {
      await changes.event('integration', reading.integration, 'runner-ready', row.name);
    }
    const had = row.took_at !== null || runner.hadJob === true;
    const done = reading.takesMore && had && runner.state === 'idle';
    if (done && row.state === 'prepared') {
      const reason = 'its job is done';
      const leaving = { name: row.name, from: 'prepared', to: 'leaving', reason } as const;
      await setRunnerState(changes.tx, leaving);
    }
  }
}
