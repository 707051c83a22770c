import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { openApiDocument } from '../../protocol/api/openapi.ts';
import { API_PREFIX } from '../../protocol/api/routes.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { requireRole } from './access.ts';
import { DOCS_STYLE, docsPage } from './docs-page.ts';
import { sendJson } from './respond.ts';
import type { Serving } from './serving.ts';

/** Mounts what says how the server is and what it offers. */
export function mountService(app: FastifyInstance, serving: Serving): void {
  const { options } = serving;
  const document = JSON.stringify(openApiDocument(options.version));
  const page = docsPage(options.version);
  const pageHeaders = docsHeaders();

  app.get(
    '/healthz',
    serving.watched('healthz', false, async (_request, reply) => {
      sendJson(reply, 200, { status: 'ok' });
    }),
  );
  app.get(
    '/readyz',
    serving.watched('readyz', false, async (_request, reply) => {
      if (serving.lifecycle.stopping || !options.ready()) {
        throw new ProblemError('not_ready', 'the controller is starting or stopping; try again');
      }
      sendJson(reply, 200, { status: 'ready' });
    }),
  );
  app.get(
    '/metrics',
    serving.watched('metrics', false, async (request, reply) => {
      await requireRole(options, request.raw, 'viewer');
      send(reply, options.registry.contentType, await options.registry.metrics());
    }),
  );
  app.get(
    `${API_PREFIX}/openapi.json`,
    serving.watched('openapi', false, async (_request, reply) => {
      send(reply, 'application/json; charset=utf-8', document);
    }),
  );
  app.get(
    `${API_PREFIX}/docs`,
    serving.watched('docs', false, async (_request, reply) => {
      reply.headers(pageHeaders);
      send(reply, 'text/html; charset=utf-8', page);
    }),
  );
}

function send(reply: FastifyReply, type: string, text: string): void {
  reply.code(200).header('content-type', type).send(text);
}

function docsHeaders(): Record<string, string> {
  const hash = createHash('sha256').update(DOCS_STYLE).digest('base64');
  return {
    'content-security-policy':
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; ` +
      `frame-ancestors 'none'`,
    'referrer-policy': 'no-referrer',
  };
}
