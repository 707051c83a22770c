import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { JOIN_PATH, joinRequestSchema } from '../../../protocol/join.ts';
import { ProblemError } from '../../../protocol/problem.ts';
import { nameSchema } from '../../../protocol/values.ts';
import { bearerOf, requireHost } from '../access.ts';
import { readBody, readJson } from '../body.ts';
import { sendJson } from '../respond.ts';
import type { Serving } from '../serving.ts';
import { sendFile } from '../streams/send-file.ts';
import { parseWith } from '../validate.ts';
import { artifactPathSchema } from './artifact-path.ts';

const epoch = z.coerce.number().int().min(1);
const paramsSchema = z.strictObject({ job: nameSchema });
const logQuery = z.strictObject({ epoch, offset: z.coerce.number().int().min(0) });
const artifactQuery = z.strictObject({ epoch, path: artifactPathSchema });
const sourceQuery = z.strictObject({ epoch });

const JOB = '/agent/v1/jobs/:job';

/** Mounts what agents use besides their session: joining, and jobs' logs, artifacts, sources. */
export function mountAgentData(app: FastifyInstance, serving: Serving): void {
  const { options, limits } = serving;

  app.post(
    JOIN_PATH,
    serving.watched('join', false, async (request, reply) => {
      serving.lifecycle.signalFor(reply.raw);
      const joinToken = bearerOf(request.raw);
      const body = parseWith(joinRequestSchema, await readJson(request.raw, limits), 'body');
      sendJson(reply, 200, await options.agents.join(joinToken, body));
    }),
  );

  app.put(
    `${JOB}/log`,
    serving.watched('putLog', false, async (request, reply) => {
      const { job, query } = await authorized(serving, request, reply, logQuery);
      const body = readBody(request.raw, Number.MAX_SAFE_INTEGER, limits.stallMs);
      const offset = await options.logs.append(job, query.epoch, query.offset, body);
      sendJson(reply, 200, { offset });
    }),
  );

  app.put(
    `${JOB}/artifacts`,
    serving.watched('putArtifact', false, async (request, reply) => {
      const { job, query } = await authorized(serving, request, reply, artifactQuery);
      const body = readBody(request.raw, options.artifacts.limitBytes, limits.stallMs);
      const { size, sha256 } = await options.artifacts.put(job, query.epoch, body);
      const artifact = { path: query.path, size, sha256 };
      await options.agents.artifactStored({ jobId: job, epoch: query.epoch, ...artifact });
      sendJson(reply, 201, artifact);
    }),
  );

  app.get(
    `${JOB}/source`,
    serving.watched('getSource', true, async (request, reply) => {
      const { job } = await authorized(serving, request, reply, sourceQuery);
      const digest = await options.agents.sourceOf(job);
      const file = digest === undefined ? undefined : await options.sources.open(digest);
      if (digest === undefined || file === undefined) {
        throw new ProblemError('not_found', `job ${job} has no source, or it was removed`);
      }
      const etag = `"${digest.slice('sha256:'.length)}"`;
      await sendFile(reply, file, { etag }, limits.stallMs);
    }),
  );
}

/** The job and the query, once the caller is the host that has this job under this epoch. */
async function authorized<Query extends { readonly epoch: number }>(
  serving: Serving,
  request: FastifyRequest,
  reply: FastifyReply,
  schema: z.ZodType<Query>,
): Promise<{ job: string; query: Query }> {
  serving.lifecycle.signalFor(reply.raw);
  const { options } = serving;
  const host = await requireHost(options, request.raw);
  const { job } = parseWith(paramsSchema, request.params, 'path');
  const query = parseWith(schema, request.query, 'query');
  if (await options.agents.authorizeJob(host.id, job, query.epoch)) return { job, query };
  throw new ProblemError(
    'stale_epoch',
    `host ${host.name} does not have job ${job} under epoch ${query.epoch} (any more)`,
  );
}
