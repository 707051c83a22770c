import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Route } from '../../protocol/api/route.ts';
import { API_PREFIX, ROUTES, type RouteId } from '../../protocol/api/routes.ts';
import { authorizeRole, type Authenticate } from './authorize.ts';
import { STREAM_ROUTES, type Call, type Handlers } from './calls.ts';
import { parse } from './errors.ts';

const MOST_KEY_LENGTH = 255;

/** Mounts every operation that answers with JSON or nothing. */
export function mountApi(
  server: FastifyInstance,
  authenticate: Authenticate,
  handlers: Handlers,
): void {
  for (const id of Object.keys(ROUTES) as RouteId[]) {
    if ((STREAM_ROUTES as readonly string[]).includes(id)) continue;
    const route: Route = ROUTES[id];
    const handler = handlers[id as keyof Handlers] as (call: Call<RouteId>) => Promise<unknown>;
    server.route({
      method: route.method,
      url: fastifyPath(route),
      handler: async (request, reply) => {
        const principal = await authorizeRole(authenticate, request, route.role);
        const answer = await handler({
          params: request.params as never,
          query: queryOf(route, request) as never,
          body: bodyOf(route, request) as never,
          principal,
          idempotencyKey: keyOf(route, request),
          signal: goneSignal(reply),
        });
        await reply.code(route.status).send(route.response === undefined ? undefined : answer);
      },
    });
  }
}

export function fastifyPath(route: Route): string {
  return API_PREFIX + route.path.replaceAll(/\{(\w+)\}/g, ':$1');
}

export function queryOf(route: Route, request: FastifyRequest): unknown {
  return parse(route.query ?? z.strictObject({}), request.query, 'the query');
}

function bodyOf(route: Route, request: FastifyRequest): unknown {
  if (route.body === undefined || route.body === 'binary') return undefined;
  return parse(route.body, request.body, 'the body');
}

function keyOf(route: Route, request: FastifyRequest): string | undefined {
  if (route.idempotent !== true) return undefined;
  const schema = z.string().min(1).max(MOST_KEY_LENGTH).optional();
  return parse(schema, request.headers['idempotency-key'], 'the Idempotency-Key header');
}

/** Aborted when the client goes away before it was answered. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
