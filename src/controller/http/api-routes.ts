import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Route } from '../../protocol/api/route.ts';
import { API_PREFIX, ROUTES, type QueryOutput, type RouteId } from '../../protocol/api/routes.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { checkRole, requirePerson } from './access.ts';
import { hasBody, readJson } from './body.ts';
import { STREAM_ROUTES, type Call, type StreamRouteId, type TokenPrincipal } from './call.ts';
import { receiveSource, sendArtifact, sendRecording } from './file-routes.ts';
import type { Serving } from './serving.ts';
import { sendJson } from './respond.ts';
import { sendEvents } from './streams/events.ts';
import { sendLive } from './streams/live.ts';
import { sendJobLog } from './streams/job-log.ts';
import { parseWith } from './validate.ts';

/** A call before the table's types say more about it. */
interface AnyCall extends Pick<Call<RouteId>, 'principal' | 'idempotencyKey' | 'signal'> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: unknown;
}

const NOTHING = z.strictObject({});
/** A body that may be left out, for operations that take none. */
const NO_BODY = NOTHING.optional();

/** Mounts every operation of the API. */
export function mountApi(app: FastifyInstance, serving: Serving): void {
  /** By calls that are to be recorded: records them, once. */
  const deeds = new WeakMap<FastifyRequest, () => Promise<void>>();
  for (const route of Object.values<Route & { readonly id: RouteId }>(ROUTES)) {
    const streams = isStream(route.id);
    app.route({
      method: route.method,
      url: API_PREFIX + route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
      // Whoever has an answer knows that it was recorded.
      onSend: async (request) => deeds.get(request)?.(),
      handler: serving.watched(route.id, streams, async (request, reply) => {
        const signal = serving.lifecycle.signalFor(reply.raw);
        const principal = await requirePerson(serving.options, request.raw);
        const asked: Asked = {};
        if (route.method !== 'GET' && route.unaudited !== true) {
          let recorded: Promise<void> | undefined;
          const record = () =>
            (recorded ??= recordDeed(serving, route, { principal, asked }, request, reply));
          deeds.set(request, record);
          // They did not wait for the answer.
          reply.raw.once('close', () => void record());
        }
        checkRole(principal, route.role);
        const call = { ...(await callOf(serving, route, request, asked)), principal, signal };
        if (isStream(route.id)) return answerStream(serving, route.id, call, reply);
        // The table ties each handler to the schemas its call was parsed with.
        const handle = serving.options.handlers[route.id] as unknown as (
          call: AnyCall,
        ) => Promise<unknown>;
        const answer = await handle(call);
        if (serving.options.checkAnswers === true) checkAnswer(route, answer);
        if (route.response === undefined) reply.code(route.status).send();
        else sendJson(reply, route.status, answer);
      }),
    });
  }
}

async function callOf(
  serving: Serving,
  route: Route,
  request: FastifyRequest,
  asked: Asked,
): Promise<Omit<AnyCall, 'principal' | 'signal'>> {
  const params = request.params as Record<string, string>;
  if (Object.values(params).includes('')) {
    throw new ProblemError('not_found', `a part of the path is empty; expected ${route.path}`);
  }
  asked.query = parseWith(route.query ?? NOTHING, request.query, 'query');
  asked.body = await bodyOf(route, request, serving.limits);
  const idempotencyKey = route.idempotent === true ? idempotencyKeyOf(request) : undefined;
  return { params, query: asked.query, body: asked.body, idempotencyKey };
}

/** What was understood of a call so far. */
interface Asked {
  query?: unknown;
  body?: unknown;
}

async function bodyOf(
  route: Route,
  request: FastifyRequest,
  limits: Serving['limits'],
): Promise<unknown> {
  if (route.body === 'binary') return undefined;
  if (route.body === undefined && !hasBody(request.raw)) return undefined;
  return parseWith(route.body ?? NO_BODY, await readJson(request.raw, limits), 'body');
}

const DETAIL_LENGTH = 2_000;

/** Who did what is known also when it failed. */
async function recordDeed(
  { options }: Serving,
  route: Route,
  { principal, asked: { query, body } }: { principal: TokenPrincipal; asked: Asked },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const said = { ...(query as object), ...(route.secret === true ? {} : (body as object)) };
  const detail = Object.keys(said).length === 0 ? undefined : JSON.stringify(said);
  const params = request.params as Record<string, string>;
  const named = (body as { name?: unknown } | undefined)?.name;
  const target = Object.values(params).join(' ') || (typeof named === 'string' ? named : '');
  const deed = {
    ...{ who: principal.name, role: principal.role, action: route.id, target },
    detail: detail?.slice(0, DETAIL_LENGTH),
    ...{ status: reply.statusCode, address: request.ip },
  };
  try {
    await options.web.audit(deed);
  } catch (error) {
    options.log.log('error', 'what somebody did was not recorded', { ...deed, error });
  }
}

function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new ProblemError('invalid', 'the header Idempotency-Key is not what was expected', {
    errors: [{ path: 'Idempotency-Key', message: 'expected 1 to 255 visible ASCII characters' }],
  });
}

function checkAnswer(route: Route, answer: unknown): void {
  if (typeof route.response === 'object') route.response.parse(answer);
}

function isStream(id: RouteId): id is StreamRouteId {
  return (STREAM_ROUTES as readonly string[]).includes(id);
}

function answerStream(
  { options, limits }: Serving,
  id: StreamRouteId,
  call: AnyCall,
  reply: FastifyReply,
): Promise<void> {
  const { params } = call;
  switch (id) {
    case 'jobLog': {
      const query = call.query as QueryOutput<'jobLog'>;
      return sendJobLog(reply, options, limits, params['id'] ?? '', query, call.signal);
    }
    case 'events': {
      const query = call.query as QueryOutput<'events'>;
      return sendEvents(reply, options.events, limits, query, call.signal);
    }
    case 'live':
      return sendLive(reply, options.live, limits, call.signal);
    case 'consoleRecording':
      return sendRecording(reply, options, limits, params['id'] ?? '');
    case 'getArtifact': {
      const { path } = call.query as QueryOutput<'getArtifact'>;
      return sendArtifact(reply, options, limits, { jobId: params['id'] ?? '', path });
    }
    case 'putSource':
      return receiveSource(reply, options, limits, params['digest'] ?? '');
  }
}
