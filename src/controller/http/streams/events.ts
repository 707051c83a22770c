import type { FastifyReply } from 'fastify';
import type { EventView } from '../../../protocol/api/resources.ts';
import { ProblemError } from '../../../protocol/problem.ts';
import type { EventsPort, ServerLimits } from '../ports.ts';
import { sendStream } from './stream-writer.ts';
import { Wake } from './wake.ts';

const BATCH = 500;

export const EVENT_STREAM_HEADERS = { 'content-type': 'text/event-stream' } as const;
export const HEARTBEAT = ':\n\n';

/**
 * Streams changes of state until the client or the server ends it. A Last-Event-ID goes before
 * `after`, because a client that reconnects sends the same address again. A `seq` that was never
 * given yet counts as the latest.
 */
export async function sendEvents(
  reply: FastifyReply,
  events: EventsPort,
  limits: ServerLimits,
  query: { readonly after?: number | undefined },
  signal: AbortSignal,
): Promise<void> {
  const latest = await events.latestSeq();
  const asked = resumeSeq(reply.request.headers['last-event-id']) ?? query.after ?? latest;
  let after = Math.min(asked, latest);
  const wake = new Wake();
  const unlisten = events.onChange(() => wake.ring());
  reply.raw.once('close', unlisten);
  await sendStream(reply, EVENT_STREAM_HEADERS, limits.stallMs, async (writer) => {
    await writer.write(HEARTBEAT);
    while (!signal.aborted) {
      const batch = await events.read(after, BATCH);
      after = batch.at(-1)?.seq ?? after;
      if (batch.length > 0) await writer.write(batch.map(eventText).join(''));
      if (batch.length === BATCH) continue;
      const reason = await wake.wait(limits.heartbeatMs, signal);
      if (reason === 'quiet') await writer.write(HEARTBEAT);
    }
  });
}

function eventText(event: EventView): string {
  return `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`;
}

function resumeSeq(lastEventId: string | string[] | undefined): number | undefined {
  if (lastEventId === undefined || lastEventId === '') return undefined;
  if (typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId)) return Number(lastEventId);
  throw new ProblemError('invalid', 'the header Last-Event-ID is not what was expected', {
    errors: [{ path: 'Last-Event-ID', message: 'expected the id of an event of this stream' }],
  });
}
