import type { AddressInfo, Socket } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { API_PREFIX, ROUTES } from '../../protocol/api/routes.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { hasCode } from '../files/file-errors.ts';
import { mountAgentData } from './agent/data-routes.ts';
import { mountAgentImages } from './agent/image-routes.ts';
import { mountApi } from './api-routes.ts';
import type { ServerLimits, ServerOptions } from './ports.ts';
import { COMMON_HEADERS, rawProblem } from './respond.ts';
import { mountService } from './service-routes.ts';
import { Serving } from './serving.ts';
import { Upgrades } from './upgrades.ts';
import { mountPage } from './web/page-routes.ts';
import { mountSignIn } from './web/session-routes.ts';
import { mountWebhooks } from './webhook-routes.ts';

export type { Handlers } from './call.ts';
export type { ServerLimits, ServerOptions } from './ports.ts';

export interface ControllerServer {
  /** Listens; port 0 takes a free one. Rejects with the system's error, such as EADDRINUSE. */
  listen(host: string, port: number): Promise<void>;
  /** `http://host:port`. Throws before it listens. */
  readonly url: string;
  /**
   * Stops: nothing new is taken, streams end, agents are told to reconnect, requests under way may
   * finish for `graceMs`, then connections are cut. Calling it again waits for the same end.
   */
  close(): Promise<void>;
}

/** The controller's HTTP server. It decides nothing itself. */
export function createServer(options: ServerOptions): ControllerServer {
  const serving = new Serving(options);
  const app = makeApp(serving);
  const upgrades = new Upgrades(serving, app.server);
  mountApi(app, serving);
  mountAgentData(app, serving);
  mountAgentImages(app, serving);
  mountWebhooks(app, serving);
  mountService(app, serving);
  mountSignIn(app, serving);
  const page = mountPage(app, serving);
  let url: string | undefined;
  let closed: Promise<void> | undefined;
  return {
    async listen(host, port) {
      await page;
      await app.listen({ host, port });
      url = urlOf(app);
    },
    get url() {
      if (url === undefined) throw new Error('the server does not listen yet');
      return url;
    },
    close() {
      closed ??= close(app, serving, upgrades);
      return closed;
    },
  };
}

function makeApp(serving: Serving): FastifyInstance {
  const app = Fastify({
    http: httpOptions(serving.limits),
    routerOptions: { maxParamLength: 512 },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) =>
      void serving.watched('none', false, async () => {
        throw asProblem(error);
      })(request, reply),
  });
  // Bodies are read by the routes, after the caller was authenticated.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.setErrorHandler(async (error, _request, reply) => {
    reply.headers(COMMON_HEADERS);
    await serving.fail(reply, asProblem(error));
  });
  app.setNotFoundHandler(
    serving.watched('none', false, async (request, reply) => {
      const path = request.url.split('?')[0] ?? '';
      const methods = methodsAt(path);
      if (methods.length > 0) reply.header('allow', methods.join(', '));
      throw nothingThere(request.method, path, methods);
    }),
  );
  app.addHook('onResponse', async () => {
    if (serving.lifecycle.stopping) setImmediate(() => app.server.closeIdleConnections());
  });
  return app;
}

function httpOptions(limits: ServerLimits) {
  return {
    headersTimeout: limits.headersMs,
    // Uploads may take any time as long as they go on; who reads a body watches over it.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5_000, limits.headersMs),
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    noDelay: true,
    // Clients that offer HTTP/2 upgrades get a plain answer.
    shouldUpgradeCallback: (request: { headers: { upgrade?: string | undefined } }) =>
      request.headers.upgrade?.toLowerCase() === 'websocket',
  };
}

function urlOf(app: FastifyInstance): string {
  const address = app.server.address() as AddressInfo;
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

async function close(app: FastifyInstance, serving: Serving, upgrades: Upgrades): Promise<void> {
  serving.lifecycle.stop();
  const ending = Promise.all([app.close(), upgrades.close(serving.limits.graceMs)]);
  const cut = setTimeout(() => app.server.closeAllConnections(), serving.limits.graceMs);
  await ending;
  clearTimeout(cut);
}

/** What the framework itself refuses with a 4xx status is the client's mistake. */
function asProblem(error: unknown): unknown {
  if (!(error instanceof Error) || !('statusCode' in error)) return error;
  if (typeof error.statusCode !== 'number' || error.statusCode >= 500) return error;
  return new ProblemError('bad_request', `the request was not understood: ${error.message}`);
}

function methodsAt(path: string): string[] {
  return Object.values(ROUTES)
    .filter((route) => matchesPath(API_PREFIX + route.path, path))
    .map((route) => route.method);
}

function nothingThere(method: string, path: string, methods: readonly string[]): ProblemError {
  if (methods.length === 0) {
    return new ProblemError('not_found', `there is nothing at ${path}; see ${API_PREFIX}/docs`);
  }
  return new ProblemError(
    'method_not_allowed',
    `${method} is not for ${path}; expected ${methods.join(' or ')}`,
  );
}

function matchesPath(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const parts = path.split('/');
  return (
    wanted.length === parts.length &&
    wanted.every(
      (part, index) => part === parts[index] || (part.startsWith('{') && parts[index] !== ''),
    )
  );
}

/** Answers bytes that are no HTTP request, or a head that is too long or too slow. */
function answerBrokenRequest(error: Error, socket: Socket): void {
  if (hasCode(error, 'ECONNRESET') || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = new ProblemError('bad_request', `this is no HTTP request: ${error.message}`);
  socket.end(rawProblem(problem.toProblem(), {}));
}
