import { openCiRunners } from '../../db/queries/ci/runners.ts';
import { findJob } from '../../db/queries/jobs.ts';
import type { RunningRunner } from '../../drivers/ci/ci.ts';
import { FrameDecoder } from '../../protocol/log-frames.ts';
import type { Context } from '../context.ts';
import type { LogFiles } from '../files/file-stores.ts';

/** How much of the end of a log is looked at, bytes. */
const TAIL_BYTES = 65_536;

/** Runners of an integration whose payload runs, and what they printed last. */
export async function runningRunners(
  { db }: Context,
  logs: LogFiles,
  integration: string,
): Promise<RunningRunner[]> {
  const running: RunningRunner[] = [];
  for (const row of await openCiRunners(db, integration)) {
    const job = await findJob(db, row.job_id);
    if (job?.state !== 'running' || job.epoch !== row.epoch) continue;
    running.push({ name: row.name, tail: () => tailOf(logs, row.job_id, row.epoch) });
  }
  return running;
}

/** The end of a job's log, as text. */
export async function tailOf(logs: LogFiles, jobId: string, epoch: number): Promise<string> {
  const size = await logs.size(jobId, epoch);
  const start = await logs.frameStart(jobId, epoch, Math.max(0, size - TAIL_BYTES));
  const decoder = new FrameDecoder(start);
  const pieces: Buffer[] = [];
  for await (const bytes of logs.read(jobId, epoch, start)) {
    for (const frame of decoder.push(bytes)) pieces.push(frame.data);
  }
  return Buffer.concat(pieces).toString('utf8');
}
