import type { FastifyReply } from 'fastify';
import type { QueryOutput } from '../../../protocol/api/routes.ts';
import { ProblemError } from '../../../protocol/problem.ts';
import type { LogFiles } from '../../files/file-stores.ts';
import type { JobsPort, JobStatus, ServerLimits } from '../ports.ts';
import { followLog } from './follow-log.ts';
import { formatFor, type LogFormat } from './log-formats.ts';
import { sendStream } from './stream-writer.ts';

/** Says of which hand-over the log is, since offsets count within one. */
const LOG_EPOCH_HEADER = 'pomona-log-epoch';

interface Place {
  readonly epoch: number;
  readonly offset: number;
}

/**
 * Sends a job's log. Without `epoch` it is that of the present hand-over (of the first, while there
 * was none). Offsets count within a hand-over. When a followed job is handed over again, events and
 * text go on with the next log from its start; frames end, because nothing in them could say so:
 * the client asks again. With `epoch` every format ends there.
 */
export async function sendJobLog(
  reply: FastifyReply,
  ports: { readonly jobs: JobsPort; readonly logs: LogFiles },
  limits: ServerLimits,
  jobId: string,
  query: QueryOutput<'jobLog'>,
  signal: AbortSignal,
): Promise<void> {
  const job = await ports.jobs.find(jobId);
  if (job === undefined) {
    throw new ProblemError('not_found', `there is no job ${jobId}; \`pomona job list\` shows them`);
  }
  const format = formatFor(reply.request.headers.accept);
  const resumed = format.name === 'events' ? resumePlace(reply, job) : undefined;
  const { epoch, offset } = resumed ?? startPlace(query, job);
  checkEpochExists(job, epoch);
  await checkKept(ports.logs, jobId, job, epoch);
  await checkOffset(ports.logs, jobId, epoch, offset);
  if (resumed !== undefined && (await nothingMore(ports.logs, jobId, job, resumed))) {
    // Tells a browser not to come back again and again.
    reply.code(204).send();
    return;
  }
  const headers = {
    'content-type': format.contentType,
    [LOG_EPOCH_HEADER]: String(epoch),
  };
  const { heartbeatMs, stallMs } = limits;
  await sendStream(reply, headers, stallMs, async (writer) => {
    if (format.heartbeat !== undefined) await writer.write(format.heartbeat);
    const follow = followMode(query, format);
    const parts = followLog(ports.logs, ports.jobs, {
      jobId,
      epoch,
      offset,
      follow,
      heartbeatMs,
      signal,
    });
    for await (const part of parts) {
      if (part !== 'quiet') await writer.write(format.render(part));
      else if (format.heartbeat !== undefined) await writer.write(format.heartbeat);
    }
  });
}

function followMode(query: QueryOutput<'jobLog'>, format: LogFormat): 'no' | 'attempt' | 'job' {
  if (!query.follow) return 'no';
  return query.epoch !== undefined || format.name === 'frames' ? 'attempt' : 'job';
}

function startPlace(query: QueryOutput<'jobLog'>, job: JobStatus): Place {
  return { epoch: query.epoch ?? Math.max(1, job.epoch), offset: query.offset };
}

/** Where the client that sends Last-Event-ID stopped: `epoch:offset`, or an offset alone. */
function resumePlace(reply: FastifyReply, job: JobStatus): Place | undefined {
  const id = reply.request.headers['last-event-id'];
  if (id === undefined || id === '') return undefined;
  const match = typeof id === 'string' ? /^(?:(\d{1,9}):)?(\d{1,15})$/.exec(id) : null;
  if (match === null) {
    throw new ProblemError('invalid', 'the header Last-Event-ID is not what was expected', {
      errors: [{ path: 'Last-Event-ID', message: 'expected the id of an event of this log' }],
    });
  }
  return { epoch: Number(match[1] ?? Math.max(1, job.epoch)), offset: Number(match[2]) };
}

function checkEpochExists(job: JobStatus, epoch: number): void {
  if (epoch >= 1 && epoch <= Math.max(1, job.epoch)) return;
  throw new ProblemError(
    'not_found',
    `there is no log of epoch ${epoch}; the job was handed over ${job.epoch} times`,
  );
}

async function checkKept(
  logs: LogFiles,
  jobId: string,
  job: JobStatus,
  epoch: number,
): Promise<void> {
  if (job.state !== 'finished' || epoch < job.epoch || (job.log_bytes ?? 0) === 0) return;
  if ((await logs.size(jobId, epoch)) > 0) return;
  throw new ProblemError(
    'not_found',
    `the log of ${jobId} was removed to make room for newer ones`,
  );
}

async function checkOffset(
  logs: LogFiles,
  jobId: string,
  epoch: number,
  offset: number,
): Promise<void> {
  const start = await logs.frameStart(jobId, epoch, offset);
  if (start === offset) return;
  throw new ProblemError(
    'wrong_offset',
    `no frame of the log starts at offset ${offset}; the last one before it starts or ends at ${start}`,
    { offset: start },
  );
}

async function nothingMore(
  logs: LogFiles,
  jobId: string,
  job: JobStatus,
  { epoch, offset }: Place,
): Promise<boolean> {
  if (job.state !== 'finished' || epoch < job.epoch) return false;
  return offset >= (await logs.size(jobId, epoch));
}
