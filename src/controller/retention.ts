import { deleteArtifacts } from '../db/queries/artifacts.ts';
import { deleteCiJobsGoneBefore, deleteDeliveriesBefore } from '../db/queries/ci/jobs.ts';
import { deleteRunnersRemovedBefore } from '../db/queries/ci/runners.ts';
import { deleteAuditBefore } from '../db/queries/audit.ts';
import { consolesEndedBefore, deleteConsole, findConsole } from '../db/queries/consoles.ts';
import { deleteEventsUpTo, latestEventSeq } from '../db/queries/events.ts';
import { deleteJob, findJob, forgetOldKeys, jobsFinishedBefore } from '../db/queries/jobs.ts';
import { DEMAND_KEPT_MS, SLOT_MS } from '../domain/scheduling/forecast.ts';
import { deleteDemandBefore } from '../db/queries/demand.ts';
import { deleteOutcomesBefore } from '../db/queries/host-outcomes.ts';
import { EVIDENCE_MS } from '../domain/quarantine.ts';
import { deleteDeadJoinTokens } from '../db/queries/tokens.ts';
import { deleteWorkersGoneBefore } from '../db/queries/workers.ts';
import type { Context } from './context.ts';
import type { ArtifactFiles, LogFiles, SourceFiles } from './files/file-stores.ts';
import { removeOrphanFiles } from './leaks.ts';
import type { Lease } from './leases.ts';
import { tidy } from './logs/retention.ts';

const EVERY_MS = 600_000;
const HOUR_MS = 3_600_000;
const AUDIT_LIFE_MS = 400 * 24 * HOUR_MS;
const KEY_LIFE_MS = 24 * HOUR_MS;
const CI_LIFE_MS = 7 * 24 * HOUR_MS;
const EVENTS_KEPT = 100_000;
/** Rows removed in one go, so that nothing else waits for long. */
const BATCH = 500;

export interface RetentionRules {
  /** Finished jobs with their logs and artifacts are kept this long. */
  readonly jobsMs: number;
  /** Rows of destroyed workers are kept this long. */
  readonly workersMs: number;
  /** Sources are kept this long after their last use. */
  readonly sourcesMs: number;
  /** All logs, and all artifacts, of finished jobs are at most this large. */
  readonly logBytes: number;
  readonly artifactBytes: number;
}

export interface KeptFiles {
  readonly logs: LogFiles;
  readonly artifacts: ArtifactFiles;
  readonly sources: SourceFiles;
}

/** Applies the rules now and every ten minutes, until it is stopped. */
export function keepTidy(
  context: Context,
  lease: Lease,
  rules: RetentionRules,
  files: KeptFiles,
): { stop(): Promise<void> } {
  let running: Promise<void> | undefined;
  const start = () => {
    if (!lease.held) return;
    running ??= applyRetention(context, rules, files)
      .catch((error: unknown) => context.log.log('error', 'tidying up failed', { error }))
      .finally(() => {
        running = undefined;
      });
  };
  start();
  const unwatch = lease.onTaken(start);
  const timer = setInterval(start, EVERY_MS);
  timer.unref();
  return {
    stop: async () => {
      clearInterval(timer);
      unwatch();
      await running;
    },
  };
}

/** Removes what the rules do not keep. May be stopped anywhere and run again. */
export async function applyRetention(
  context: Context,
  rules: RetentionRules,
  files: KeptFiles,
): Promise<void> {
  await removeOldRows(context, rules);
  await removeOldJobs(context, rules, files);
  await removeOldConsoles(context, rules, files);
  await removeOrphanFiles(context, { log: files.logs, artifacts: files.artifacts });
  await removeTooMuch(context, rules, files);
  const now = context.clock.now();
  for await (const source of files.sources.list()) {
    if (now - source.at > rules.sourcesMs) await files.sources.remove(source.id);
  }
}

async function removeOldRows({ db, clock }: Context, rules: RetentionRules): Promise<void> {
  const now = clock.now();
  await forgetOldKeys(db, now - KEY_LIFE_MS);
  await deleteOutcomesBefore(db, now - EVIDENCE_MS);
  await deleteDemandBefore(db, Math.floor((now - DEMAND_KEPT_MS) / SLOT_MS));
  await deleteDeadJoinTokens(db, now);
  await deleteWorkersGoneBefore(db, now - rules.workersMs);
  // As long as a CI system may still tell of them.
  await deleteCiJobsGoneBefore(db, now - CI_LIFE_MS);
  await deleteRunnersRemovedBefore(db, now - CI_LIFE_MS);
  await deleteDeliveriesBefore(db, now - CI_LIFE_MS);
  await deleteAuditBefore(db, now - AUDIT_LIFE_MS);
  await deleteEventsUpTo(db, (await latestEventSeq(db)) - EVENTS_KEPT);
}

async function removeOldJobs(
  { db, clock }: Context,
  rules: RetentionRules,
  { logs, artifacts }: KeptFiles,
): Promise<void> {
  for (;;) {
    const old = await jobsFinishedBefore(db, clock.now() - rules.jobsMs, BATCH);
    for (const job of old) {
      await logs.remove(job.id);
      await artifacts.remove(job.id);
      await db.transaction(async (tx) => {
        await deleteArtifacts(tx, job.id);
        await deleteJob(tx, job.id);
      });
    }
    if (old.length < BATCH) return;
  }
}

/** Consoles are kept as long as jobs, each with what its shell showed. */
async function removeOldConsoles(
  { db, clock }: Context,
  rules: RetentionRules,
  { logs }: KeptFiles,
): Promise<void> {
  for (const { id } of await consolesEndedBefore(db, clock.now() - rules.jobsMs)) {
    await logs.remove(id);
    await deleteConsole(db, id);
  }
}

async function removeTooMuch(
  { db, clock, log }: Context,
  rules: RetentionRules,
  { logs, artifacts }: KeptFiles,
): Promise<void> {
  const mayGo = async (jobId: string): Promise<boolean> => {
    const job = await findJob(db, jobId);
    if (job !== undefined) return job.state === 'finished';
    return (await findConsole(db, jobId))?.ended_at !== null;
  };
  const shelves = {
    logs: { shelf: logs, maxBytes: rules.logBytes },
    artifacts: {
      shelf: {
        list: () => artifacts.list(),
        async remove(jobId: string) {
          await artifacts.remove(jobId);
          await deleteArtifacts(db, jobId);
        },
      },
      maxBytes: rules.artifactBytes,
    },
  };
  for (const [what, { shelf, maxBytes }] of Object.entries(shelves)) {
    const removed = await tidy(shelf, { maxBytes }, clock.now(), mayGo);
    if (removed.things > 0) log.log('info', `${what} were too large; the oldest went`, removed);
  }
}
