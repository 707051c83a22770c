import type { LogFiles } from '../../files/file-stores.ts';
import type { JobsPort } from '../ports.ts';
import { Wake } from './wake.ts';

/** Whole frames of the log of one hand-over; `offset` is where in it they start. */
export interface LogPart {
  readonly epoch: number;
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface Following {
  readonly jobId: string;
  readonly epoch: number;
  /** The start of a frame. */
  readonly offset: number;
  /** `no`: what is there now. `attempt`: to the end of this hand-over. `job`: over later ones. */
  readonly follow: 'no' | 'attempt' | 'job';
  readonly heartbeatMs: number;
  readonly signal: AbortSignal;
}

/**
 * A log from an offset on, as it grows. A hand-over ends, for a follower, when the job is finished
 * or was given to another worker, and all bytes were given that were there when that was seen:
 * none comes later, because an agent delivers the log before the result and what an earlier epoch
 * sends is refused. Gives `quiet` when nothing came for `heartbeatMs`.
 */
export async function* followLog(
  logs: LogFiles,
  jobs: JobsPort,
  { jobId, epoch: firstEpoch, offset: firstOffset, follow, heartbeatMs, signal }: Following,
): AsyncGenerator<LogPart | 'quiet', void> {
  const wake = new Wake();
  let stale = true;
  let over = false;
  let current = 0;
  let epoch = firstEpoch;
  let offset = firstOffset;
  const unlistenJob = jobs.onChange(jobId, () => {
    stale = true;
    wake.ring();
  });
  let unlistenLog = logs.onGrowth(jobId, epoch, () => wake.ring());
  try {
    while (!signal.aborted) {
      if (stale) {
        stale = false;
        const job = await jobs.find(jobId);
        current = job?.epoch ?? 0;
        over = job === undefined || job.state === 'finished' || current > epoch;
      }
      for await (const bytes of logs.read(jobId, epoch, offset)) {
        yield { epoch, offset, bytes };
        offset += bytes.length;
        if (signal.aborted) return;
      }
      if (follow === 'no') return;
      if (over) {
        if (follow === 'attempt' || current <= epoch) return;
        unlistenLog();
        epoch += 1;
        offset = 0;
        stale = true;
        unlistenLog = logs.onGrowth(jobId, epoch, () => wake.ring());
        continue;
      }
      const reason = await wake.wait(heartbeatMs, signal);
      if (reason !== 'quiet') continue;
      stale = true;
      yield 'quiet';
    }
  } finally {
    unlistenLog();
    unlistenJob();
  }
}
