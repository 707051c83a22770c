import type { IncomingMessage } from 'node:http';
import { ProblemError } from '../../protocol/problem.ts';

/** Thrown when the client went away while it was sending. There is nobody to answer. */
export class ClientGoneError extends Error {
  readonly code = 'client_gone';
}

export function hasBody(request: IncomingMessage): boolean {
  if (request.headers['transfer-encoding'] !== undefined) return true;
  return Number(request.headers['content-length'] ?? 0) > 0;
}

/**
 * The value of a JSON body, undefined for an empty one. Throws ProblemError `too_large` as soon as
 * that is known, `bad_request`, and `ClientGoneError`.
 */
export async function readJson(
  request: IncomingMessage,
  limits: { readonly jsonBytes: number; readonly jsonBodyMs: number },
): Promise<unknown> {
  if (!hasBody(request)) return undefined;
  const slow = setTimeout(() => request.destroy(), limits.jsonBodyMs);
  const pieces: Buffer[] = [];
  try {
    for await (const piece of readBody(request, limits.jsonBytes)) pieces.push(piece);
  } finally {
    clearTimeout(slow);
  }
  return parseJson(Buffer.concat(pieces));
}

/**
 * The bytes of a body as they arrive. Ends the connection when nothing arrives for `stallMs`.
 * When the caller stops early the request goes on: answer it. Throws ProblemError `too_large` for
 * a body of more than `limitBytes`, before the first byte when its length was declared; and
 * `ClientGoneError`.
 */
export async function* readBody(
  request: IncomingMessage,
  limitBytes: number,
  stallMs = 0,
): AsyncGenerator<Buffer, void> {
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLarge(limitBytes);
  request.socket.setTimeout(stallMs);
  let size = 0;
  try {
    for await (const piece of piecesOf(request)) {
      size += piece.length;
      if (size > limitBytes) throw tooLarge(limitBytes);
      yield piece;
    }
  } finally {
    request.socket.setTimeout(0);
  }
}

async function* piecesOf(request: IncomingMessage): AsyncGenerator<Buffer, void> {
  const pieces = request.iterator({ destroyOnReturn: false }) as NodeJS.AsyncIterator<Buffer>;
  try {
    for (;;) {
      const next = await pieces.next().catch((cause: unknown) => {
        throw new ClientGoneError('the client went away while it was sending', { cause });
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Or the rest of the body could not be thrown away.
    await pieces.return?.();
  }
}

function tooLarge(limitBytes: number): ProblemError {
  return new ProblemError('too_large', `the body is larger than the limit of ${limitBytes} bytes`);
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const detail = error instanceof SyntaxError ? error.message : 'it is not UTF-8';
    throw new ProblemError('bad_request', `the body is not JSON: ${detail}`);
  }
}
