import type { FastifyReply } from 'fastify';
import type { LivePort, ServerLimits } from '../ports.ts';
import { EVENT_STREAM_HEADERS, HEARTBEAT } from './events.ts';
import { sendStream } from './stream-writer.ts';
import { Wake } from './wake.ts';

/** A page that falls behind by more is sent all there is anew. */
const MOST_BEHIND = 200;

/** Streams the fleet to a page until it or the server ends it: all there is, then what changes. */
export async function sendLive(
  reply: FastifyReply,
  live: LivePort,
  limits: ServerLimits,
  signal: AbortSignal,
): Promise<void> {
  const wake = new Wake();
  let waiting: string[] = [];
  const listen = () =>
    live.subscribe((event) => {
      waiting.push(event);
      wake.ring();
    });
  let unlisten = await listen();
  try {
    await sendStream(reply, EVENT_STREAM_HEADERS, limits.stallMs, async (writer) => {
      while (!signal.aborted) {
        if (waiting.length > MOST_BEHIND) {
          unlisten();
          waiting = [];
          unlisten = await listen();
        }
        const events = waiting;
        waiting = [];
        for (const event of events) await writer.write(event);
        if (waiting.length > 0) continue;
        const reason = await wake.wait(limits.heartbeatMs, signal);
        if (reason === 'quiet') await writer.write(HEARTBEAT);
      }
    });
  } finally {
    unlisten();
  }
}
