import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { ClientGoneError } from '../body.ts';
import { COMMON_HEADERS } from '../respond.ts';

/**
 * Writes an answer piece by piece, as fast as the client reads: at most one piece waits in memory.
 * A client that takes nothing at all for `stallMs` loses its connection.
 */
export class StreamWriter {
  readonly #response: ServerResponse;
  readonly #stallMs: number;

  constructor(response: ServerResponse, stallMs: number) {
    this.#response = response;
    this.#stallMs = stallMs;
  }

  /** Returns when there is room for the next piece. Throws `ClientGoneError`. */
  async write(piece: Buffer | string): Promise<void> {
    const response = this.#response;
    if (response.destroyed || response.socket === null) throw gone();
    if (response.write(piece)) return;
    // The socket's timer starts anew whenever the kernel took some bytes, so it ends only a
    // connection without any progress; the server's default for that event is to destroy it.
    const { socket } = response;
    socket.setTimeout(this.#stallMs);
    await new Promise<void>((resolve) => {
      const done = () => {
        response.off('drain', done).off('close', done);
        resolve();
      };
      response.on('drain', done).on('close', done);
    });
    if (response.destroyed) throw gone();
    socket.setTimeout(0);
  }
}

/** For proxies in front that would otherwise gather pieces. */
const PASS_ON_AT_ONCE = { 'x-accel-buffering': 'no' } as const;

function gone(): ClientGoneError {
  return new ClientGoneError('the client went away, or read nothing for too long');
}

/** Answers 200 with what `produce` writes. Until `produce` writes, only the head goes out. */
export async function sendStream(
  reply: FastifyReply,
  headers: Readonly<Record<string, string | number>>,
  stallMs: number,
  produce: (writer: StreamWriter) => Promise<void>,
): Promise<void> {
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, { ...COMMON_HEADERS, ...PASS_ON_AT_ONCE, ...headers });
  response.flushHeaders();
  await produce(new StreamWriter(response, stallMs));
  response.end();
}
