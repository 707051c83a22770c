import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** A reader that takes nothing for this long is let go. */
const STALL_MS = 60_000;
const HEARTBEAT_MS = 15_000;

/** Thrown when a reader takes nothing. */
class StalledReaderError extends Error {
  readonly code = 'stalled_reader';
}

/**
 * A response that is written piece by piece at the reader's pace: a write returns when there is
 * room for more, so a reader that reads nothing costs no memory.
 */
export class ResponseStream {
  readonly #reply: FastifyReply;
  readonly signal: AbortSignal;

  constructor(reply: FastifyReply, signal: AbortSignal, headers: Record<string, string>) {
    this.#reply = reply;
    this.signal = signal;
    reply.hijack();
    const kept = reply.getHeaders() as Record<string, string>;
    reply.raw.writeHead(200, { ...kept, ...headers });
    reply.raw.flushHeaders();
  }

  async write(piece: string | Buffer): Promise<void> {
    this.signal.throwIfAborted();
    if (this.#reply.raw.write(piece)) return;
    const stalled = AbortSignal.timeout(STALL_MS);
    try {
      await once(this.#reply.raw, 'drain', { signal: AbortSignal.any([this.signal, stalled]) });
    } catch (error) {
      if (stalled.aborted)
        throw new StalledReaderError('the reader takes nothing', { cause: error });
      throw error;
    }
  }

  end(): void {
    this.#reply.raw.end();
  }
}

/**
 * Streams to a reader until `work` is done or the reader is gone. What `work` throws because the
 * reader left is no error.
 */
export async function stream(
  reply: FastifyReply,
  signal: AbortSignal,
  headers: Record<string, string>,
  work: (out: ResponseStream) => Promise<void>,
): Promise<void> {
  const out = new ResponseStream(reply, signal, headers);
  try {
    await work(out);
    out.end();
  } catch (error) {
    // Cut, not ended: a reader can tell that something is missing.
    reply.raw.destroy();
    if (signal.aborted || error instanceof StalledReaderError) return;
    throw error;
  }
}

export const EVENT_STREAM = { 'content-type': 'text/event-stream' };

export function event(id: string, data: unknown): string {
  return `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Waits for a call of `wake`, sending a comment now and then so that the connection lives. */
export class Waiter {
  #woken = false;
  #wake: (() => void) | undefined;

  readonly wake = (): void => {
    this.#woken = true;
    this.#wake?.();
  };

  async next(out: ResponseStream, heartbeat: string | undefined): Promise<void> {
    while (!this.#woken) {
      const { promise, resolve } = Promise.withResolvers<'woken' | 'time' | 'gone'>();
      this.#wake = () => resolve('woken');
      const timer = setTimeout(() => resolve('time'), HEARTBEAT_MS);
      const gone = () => resolve('gone');
      out.signal.addEventListener('abort', gone);
      const why = await promise;
      clearTimeout(timer);
      out.signal.removeEventListener('abort', gone);
      if (why === 'gone') out.signal.throwIfAborted();
      if (why === 'time' && heartbeat !== undefined) await out.write(heartbeat);
    }
    this.#woken = false;
  }
}
