import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { readBody } from './body.ts';
import type { Serving } from './serving.ts';
import { sendJson } from './respond.ts';

/** GitHub's deliveries have 25 MB at most; those that are read here are far smaller. */
const MOST_BYTES = 8 * 1024 * 1024;

/**
 * Mounts where CI systems deliver their news. Whoever sends proves itself by a signature over the
 * bytes, which the integration checks before it reads anything in them.
 */
export function mountWebhooks(app: FastifyInstance, serving: Serving): void {
  const { options, limits } = serving;
  app.post(
    '/webhooks/:integration',
    serving.watched('webhook', false, async (request, reply) => {
      serving.lifecycle.signalFor(reply.raw);
      const { integration = '' } = request.params as { integration?: string };
      const pieces: Buffer[] = [];
      for await (const piece of readBody(request.raw, MOST_BYTES, limits.stallMs)) {
        pieces.push(piece);
      }
      const delivery = { headers: single(request.headers), body: Buffer.concat(pieces) };
      const status = await options.receiveWebhook(integration, delivery);
      sendJson(reply, 202, { status });
    }),
  );
}

function single(headers: IncomingHttpHeaders): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : value,
    ]),
  );
}
