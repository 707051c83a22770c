import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { joinRequestSchema, JOIN_PATH } from '../../protocol/join.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { ArtifactStore } from '../files/artifact-store.ts';
import type { SourceStore } from '../files/source-store.ts';
import type { LogStore } from '../logs/log-store.ts';
import { authorizeHost, bearerOf, type Authenticate } from './authorize.ts';
import { parse } from './errors.ts';

export interface AgentPorts {
  readonly authenticate: Authenticate;
  readonly logs: LogStore;
  readonly sources: SourceStore;
  readonly artifacts: ArtifactStore;
  join(joinToken: string, name: string): Promise<object>;
  /** Does this host run this hand-over of the job, and may it still deliver? */
  mayDeliver(hostId: string, jobId: string, epoch: number): Promise<boolean>;
  saveArtifact(
    jobId: string,
    epoch: number,
    artifact: { path: string; size: number; sha256: string },
  ): Promise<void>;
  /** Digest of the job's source, if it has one. */
  sourceOf(jobId: string): Promise<string | undefined>;
}

const epoch = z.coerce.number().int().min(1);
const logQuery = z.strictObject({ epoch, offset: z.coerce.number().int().min(0) });
const artifactQuery = z.strictObject({ epoch, path: z.string().min(1).max(1024) });
const sourceQuery = z.strictObject({ epoch });

/** One piece of log at most. */
const LOG_BODY_LIMIT = 8 * 2 ** 20;

/** Mounts what agents use besides their session. */
export function mountAgentRoutes(server: FastifyInstance, ports: AgentPorts): void {
  const { authenticate, logs, artifacts, sources } = ports;

  const authorizeDelivery = async (
    request: Parameters<typeof authorizeHost>[1] & { params: unknown },
    handOver: number,
  ): Promise<string> => {
    const host = await authorizeHost(authenticate, request);
    const { job } = request.params as { job: string };
    if (await ports.mayDeliver(host.id, job, handOver)) return job;
    throw new ProblemError('stale_epoch', `job ${job} is not this host's under epoch ${handOver}`);
  };

  server.post(JOIN_PATH, async (request) => {
    const token = bearerOf(request);
    const { name } = parse(joinRequestSchema, request.body, 'the body');
    return ports.join(token, name);
  });

  server.put('/agent/v1/jobs/:job/log', { bodyLimit: LOG_BODY_LIMIT }, async (request) => {
    const query = parse(logQuery, request.query, 'the query');
    const job = await authorizeDelivery(request, query.epoch);
    const body = request.body as AsyncIterable<Buffer>;
    return { size: await logs.append(job, query.epoch, query.offset, body) };
  });

  server.put(
    '/agent/v1/jobs/:job/artifacts',
    { bodyLimit: artifacts.limitBytes },
    async (request) => {
      const query = parse(artifactQuery, request.query, 'the query');
      const job = await authorizeDelivery(request, query.epoch);
      const body = request.body as AsyncIterable<Buffer>;
      const { size, sha256 } = await artifacts.put(job, query.epoch, body);
      await ports.saveArtifact(job, query.epoch, { path: query.path, size, sha256 });
      return { size, sha256 };
    },
  );

  server.get('/agent/v1/jobs/:job/source', async (request, reply) => {
    const query = parse(sourceQuery, request.query, 'the query');
    const job = await authorizeDelivery(request, query.epoch);
    const digest = await ports.sourceOf(job);
    const file = digest === undefined ? undefined : await sources.open(digest);
    if (file === undefined) throw new ProblemError('not_found', `job ${job} has no source`);
    await reply.type('application/gzip').send(file.createReadStream());
  });
}
