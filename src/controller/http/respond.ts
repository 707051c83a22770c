import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { Problem } from '../../protocol/problem.ts';

/** On every answer. There is nothing here for a browser to guess at, keep or share. */
export const COMMON_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
} as const;

const PROBLEM_TYPE = 'application/problem+json';

/** A body on its way that is at most this large is read to its end to keep the connection. */
const SMALL_BODY_BYTES = 65_536;
/** How long what a client still sends is thrown away, so that it gets to see the answer. */
const LINGER_MS = 5_000;

export function sendJson(reply: FastifyReply, status: number, value: unknown): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(value));
}

/**
 * Answers with a problem. When the client is still sending a large body, the connection ends: the
 * answer goes out whole first, then the rest of the body is thrown away for a while, because a
 * connection closed on unread bytes could take the answer with it.
 */
export async function sendProblem(
  reply: FastifyReply,
  problem: Problem,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const body = Buffer.from(JSON.stringify(problem));
  const request = reply.request.raw;
  if (!stillSendsMuch(request)) {
    reply.code(problem.status).headers(headers).header('content-type', PROBLEM_TYPE).send(body);
    return;
  }
  reply.hijack();
  const response = reply.raw;
  response.writeHead(problem.status, {
    ...COMMON_HEADERS,
    ...headers,
    'content-type': PROBLEM_TYPE,
    'content-length': body.length,
    connection: 'close',
  });
  response.write(body);
  await discard(request, response, LINGER_MS);
  response.end();
}

/** The bytes of a problem as a whole HTTP answer, for sockets without a response object. */
export function rawProblem(problem: Problem, headers: Readonly<Record<string, string>>): string {
  const body = JSON.stringify(problem);
  const all = {
    ...COMMON_HEADERS,
    ...headers,
    'content-type': PROBLEM_TYPE,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${problem.status} ${problem.code}\r\n${lines.join('')}\r\n${body}`;
}

function stillSendsMuch(request: IncomingMessage): boolean {
  if (request.complete || request.destroyed) return false;
  if (request.headers['transfer-encoding'] !== undefined) return true;
  return Number(request.headers['content-length'] ?? 0) > SMALL_BODY_BYTES;
}

/** Throws away what arrives until the request ends, the connection does, or the time is over. */
function discard(request: IncomingMessage, response: ServerResponse, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  request.once('end', resolve).once('error', resolve).once('close', resolve);
  response.once('close', resolve);
  request.on('data', () => undefined).resume();
  return promise.finally(() => clearTimeout(timer));
}
