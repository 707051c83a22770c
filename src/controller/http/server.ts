import { Readable } from 'node:stream';
import { fastify, type FastifyInstance } from 'fastify';
import { Histogram, type Registry } from 'prom-client';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Logger } from '../../platform/logger.ts';
import { API_PREFIX } from '../../protocol/api/routes.ts';
import { openApiDocument } from '../../protocol/api/openapi.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { SESSION_PATH } from '../../protocol/session.ts';
import type { Principal } from '../auth.ts';
import { mountAgentRoutes, type AgentPorts } from './agent-routes.ts';
import { mountApi } from './api-routes.ts';
import { authorizeHost, authorizeRole } from './authorize.ts';
import type { Handlers } from './calls.ts';
import { apiPage } from './api-page.ts';
import { sendError } from './errors.ts';
import { mountStreams, type StreamSources } from './stream-routes.ts';

/** JSON bodies at most. */
const BODY_LIMIT = 16 * 2 ** 20;
/** One message of an agent at most. */
const MESSAGE_LIMIT = 64 * 2 ** 20;

export interface ServerOptions extends StreamSources, AgentPorts {
  readonly handlers: Handlers;
  readonly metrics: Registry;
  readonly log: Logger;
  readonly version: string;
  /** False while it starts or stops. */
  ready(): boolean;
  onAgentSession(socket: WebSocket, host: Extract<Principal, { kind: 'host' }>): void;
}

export interface HttpServer {
  /** Listens; returns the URL. Throws the system's error, such as EADDRINUSE. */
  listen(host: string, port: number): Promise<string>;
  close(): Promise<void>;
}

/** The controller's HTTP server: API, streams, agents' routes and sessions, health, metrics. */
export function createServer(options: ServerOptions): HttpServer {
  const server = fastify({ bodyLimit: BODY_LIMIT, forceCloseConnections: true, logger: false });
  configure(server, options);
  mountApi(server, options.authenticate, options.handlers);
  mountStreams(server, options);
  mountAgentRoutes(server, options);
  mountSelf(server, options);
  const sockets = acceptSessions(server, options);
  return {
    listen: (host, port) => server.listen({ host, port }),
    async close() {
      for (const socket of sockets.clients) socket.close(1012, 'the controller stops');
      await server.close();
      for (const socket of sockets.clients) socket.terminate();
    },
  };
}

function configure(server: FastifyInstance, options: ServerOptions): void {
  server.removeContentTypeParser('text/plain');
  // Bodies that are not JSON are handed on unread, for routes that take them in as streams.
  server.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  server.setErrorHandler((error, request, reply) => sendError(options.log, error, request, reply));
  server.setNotFoundHandler((request, reply) => {
    const error = new ProblemError(
      'not_found',
      `there is nothing at ${request.method} ${request.url.split('?')[0]}; ${API_PREFIX}/docs lists the API`,
    );
    sendError(options.log, error, request, reply);
  });
  server.addHook('onRequest', async (_request, reply) => {
    void reply.header('x-content-type-options', 'nosniff').header('cache-control', 'no-store');
  });
  // A request without a body still has a stream to read.
  server.addHook('preHandler', async (request) => {
    if (request.method === 'PUT' && request.body === undefined) request.body = Readable.from([]);
  });
  const durations = new Histogram({
    name: 'pomona_http_request_seconds',
    help: 'Time to answer, by route and status',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [options.metrics],
  });
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: reply.statusCode };
    durations.observe(labels, reply.elapsedTime / 1000);
  });
}

function mountSelf(server: FastifyInstance, options: ServerOptions): void {
  const document = openApiDocument(options.version);
  const page = apiPage(document);
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async () => {
    if (options.ready()) return { status: 'ready' };
    throw new ProblemError('not_ready', 'the controller is starting or stopping; try again');
  });
  server.get('/metrics', async (request, reply) => {
    await authorizeRole(options.authenticate, request, 'viewer');
    await reply.type(options.metrics.contentType).send(await options.metrics.metrics());
  });
  server.get(`${API_PREFIX}/openapi.json`, async () => document);
  server.get(`${API_PREFIX}/docs`, async (_request, reply) => {
    await reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      .send(page);
  });
}

function acceptSessions(server: FastifyInstance, options: ServerOptions): WebSocketServer {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_LIMIT,
    perMessageDeflate: false,
  });
  server.server.on('upgrade', (request, socket, head) => {
    const refuse = (status: string): void => {
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n\r\n`);
    };
    socket.on('error', () => socket.destroy());
    if (request.url !== SESSION_PATH) return refuse('404 Not Found');
    if (!options.ready()) return refuse('503 Service Unavailable');
    authorizeHost(options.authenticate, request).then(
      (host) =>
        sockets.handleUpgrade(request, socket, head, (webSocket) =>
          options.onAgentSession(webSocket, host),
        ),
      (error: unknown) => {
        const refused = error instanceof ProblemError;
        if (!refused) options.log.log('error', 'a session could not be accepted', { error });
        refuse(refused ? '401 Unauthorized' : '500 Internal Server Error');
      },
    );
  });
  return sockets;
}
