import type { FastifyInstance } from 'fastify';
import { IMAGE_TURNS_PATH, imageTurnsRequestSchema } from '../../../protocol/image-turns.ts';
import { requireHost } from '../access.ts';
import { readJson } from '../body.ts';
import { sendJson } from '../respond.ts';
import type { Serving } from '../serving.ts';
import { parseWith } from '../validate.ts';

/** Mounts what agents ask before they bring images. */
export function mountAgentImages(app: FastifyInstance, serving: Serving): void {
  const { options, limits } = serving;
  app.post(
    IMAGE_TURNS_PATH,
    serving.watched('imageTurns', false, async (request, reply) => {
      serving.lifecycle.signalFor(reply.raw);
      const host = await requireHost(options, request.raw);
      const body = parseWith(imageTurnsRequestSchema, await readJson(request.raw, limits), 'body');
      sendJson(reply, 200, await options.agents.imageTurns(host.id, body.images));
    }),
  );
}
