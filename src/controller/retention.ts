import { deleteArtifacts } from '../db/queries/artifacts.ts';
import { deleteEventsUpTo, latestEventSeq } from '../db/queries/events.ts';
import { deleteJob, forgetOldKeys, jobsFinishedBefore } from '../db/queries/jobs.ts';
import { deleteDeadJoinTokens } from '../db/queries/tokens.ts';
import { deleteWorkersGoneBefore } from '../db/queries/workers.ts';
import type { Context } from './context.ts';

const HOUR_MS = 3_600_000;
const KEY_LIFE_MS = 24 * HOUR_MS;
const EVENTS_KEPT = 100_000;
/** Rows removed in one go, so that nothing else waits for long. */
const BATCH = 500;

export interface RetentionRules {
  /** Finished jobs with their logs and artifacts are kept this long. */
  readonly jobsMs: number;
  /** Rows of destroyed workers are kept this long. */
  readonly workersMs: number;
}

/** Removes what is older than the rules keep. May be stopped anywhere and run again. */
export async function applyRetention(
  context: Context,
  rules: RetentionRules,
  removeFiles: (jobId: string) => Promise<void>,
): Promise<void> {
  const now = context.clock.now();
  const { db } = context;
  await forgetOldKeys(db, now - KEY_LIFE_MS);
  await deleteDeadJoinTokens(db, now);
  await deleteWorkersGoneBefore(db, now - rules.workersMs);
  await deleteEventsUpTo(db, (await latestEventSeq(db)) - EVENTS_KEPT);
  for (;;) {
    const old = await jobsFinishedBefore(db, now - rules.jobsMs, BATCH);
    for (const job of old) {
      await removeFiles(job.id);
      await db.transaction(async (tx) => {
        await deleteArtifacts(tx, job.id);
        await deleteJob(tx, job.id);
      });
    }
    if (old.length < BATCH) return;
  }
}
