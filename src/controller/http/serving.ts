import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError } from '../../protocol/problem.ts';
import { hasCode, writeProblem } from '../files/file-errors.ts';
import { CHALLENGE } from './access.ts';
import { ClientGoneError } from './body.ts';
import { HttpMetrics } from './http-metrics.ts';
import { Lifecycle } from './lifecycle.ts';
import { DEFAULT_LIMITS, type ServerLimits, type ServerOptions } from './ports.ts';
import { COMMON_HEADERS, sendProblem } from './respond.ts';

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** What all routes share: options, limits, metrics, and how a failure becomes an answer. */
export class Serving {
  readonly options: ServerOptions;
  readonly limits: ServerLimits;
  readonly lifecycle = new Lifecycle();
  readonly #metrics: HttpMetrics;

  constructor(options: ServerOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#metrics = new HttpMetrics(options.registry);
  }

  /** A handler that is measured under the name of its route and whose failures are answered. */
  watched(route: string, streams: boolean, handler: Handler): Handler {
    return async (request, reply) => {
      if (streams) this.#metrics.watchStream(route, reply.raw);
      else this.#metrics.watchRequest(route, reply.raw);
      reply.headers(COMMON_HEADERS);
      try {
        await handler(request, reply);
      } catch (error) {
        await this.fail(reply, error);
      }
    };
  }

  /** Answers with the problem that an error means. Once an answer has begun it can only be cut. */
  async fail(reply: FastifyReply, error: unknown): Promise<void> {
    const gone = error instanceof ClientGoneError;
    const problem = gone ? undefined : this.problemOf(error, reply.request.routeOptions.url);
    if (problem === undefined || reply.raw.destroyed || reply.raw.headersSent) {
      reply.hijack();
      reply.raw.destroy();
      return;
    }
    const closing = this.lifecycle.stopping ? { connection: 'close' } : {};
    const challenge = problem.code === 'unauthenticated' ? CHALLENGE : {};
    await sendProblem(reply, problem.toProblem(), { ...closing, ...challenge });
  }

  /** The problem that an error means. An unexpected one is logged under an id that is told. */
  problemOf(error: unknown, route: string | undefined): ProblemError {
    if (error instanceof ProblemError) return error;
    const full = hasCode(error, 'disk_full') ? fullDatabase() : writeProblem(error, 'it');
    if (full instanceof ProblemError) return full;
    const id = randomUUID();
    this.options.log.log('error', 'a request failed', { id, route, error });
    return new ProblemError('internal', `Pomona failed; look for ${id} in the controller's log`);
  }
}

function fullDatabase(): ProblemError {
  return new ProblemError(
    'disk_full',
    "the database could not be written: the controller's disk is full; make room and try again",
  );
}
