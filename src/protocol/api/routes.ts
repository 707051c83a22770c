import { z } from 'zod';
import { JOB_OUTCOMES, JOB_STATES } from '../../domain/job.ts';
import { CI_ROUTES } from './ci-routes.ts';
import { HISTORY_ROUTES } from './history-routes.ts';
import { HOST_ROUTES } from './host-routes.ts';
import { page, pageQuery } from './page.ts';
import { digestSchema, envNameSchema, nameSchema } from '../values.ts';
import {
  TOKEN_ROLES,
  eventSchema,
  controllerSchema,
  jobRequestSchema,
  jobSchema,
  poolSchema,
  rolloutOrderSchema,
  rolloutSchema,
  poolSpecSchema,
  tokenSchema,
  whySchema,
  workerSchema,
} from './resources.ts';
import type { Route } from './route.ts';

export const API_PREFIX = '/api/v1';

/** Media type of a framed log (see `log-frames.ts`). */
export const LOG_MEDIA_TYPE = 'application/vnd.pomona.log';

function rolloutMove<Id extends string, Move extends string>(id: Id, move: Move, summary: string) {
  return {
    id,
    method: 'POST',
    path: `/rollouts/{pool}/${move}`,
    summary,
    role: 'operator',
    status: 200,
    response: rolloutSchema,
    problems: ['conflict'],
  } as const;
}

const flag = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .default(false);

export const ROUTES = {
  submitJob: {
    id: 'submitJob',
    method: 'POST',
    path: '/jobs',
    summary: 'Submit a job',
    description:
      'Send an Idempotency-Key header: the same key with the same body gives the same job for 24 hours.',
    role: 'submitter',
    unaudited: true,
    body: jobRequestSchema,
    status: 201,
    response: jobSchema,
    problems: ['no_pool', 'no_host', 'unknown_secret', 'unknown_source', 'idempotency_mismatch'],
    idempotent: true,
  },
  listJobs: {
    id: 'listJobs',
    method: 'GET',
    path: '/jobs',
    summary: 'List jobs, newest first',
    role: 'viewer',
    query: z.strictObject({
      ...pageQuery,
      state: z.enum(JOB_STATES).optional(),
      outcome: z.enum(JOB_OUTCOMES).optional(),
      pool: nameSchema.optional(),
      host: nameSchema.optional(),
      /** Only those that build specs. */
      builds: flag,
      /** Part of the title or the id. */
      search: z.string().max(256).optional(),
    }),
    status: 200,
    response: page(jobSchema),
  },
  getJob: {
    id: 'getJob',
    method: 'GET',
    path: '/jobs/{id}',
    summary: 'Show a job',
    description:
      'With `wait` (ms, at most 60000): answers once the job is finished, or after that time.',
    role: 'viewer',
    query: z.strictObject({ wait: z.coerce.number().int().min(0).max(60_000).default(0) }),
    status: 200,
    response: jobSchema,
  },
  cancelJob: {
    id: 'cancelJob',
    method: 'POST',
    path: '/jobs/{id}/cancel',
    summary: 'Cancel a job',
    description: 'Cancelling a finished job changes nothing.',
    role: 'submitter',
    status: 202,
    response: jobSchema,
  },
  whyJob: {
    id: 'whyJob',
    method: 'GET',
    path: '/jobs/{id}/why',
    summary: 'Say what a queued job waits for',
    role: 'viewer',
    status: 200,
    response: whySchema,
  },
  jobLog: {
    id: 'jobLog',
    method: 'GET',
    path: '/jobs/{id}/log',
    summary: "Read a job's log",
    description:
      `From byte \`offset\` of the framed log. With \`follow\` the answer goes on until the job is ` +
      `finished. Accept \`text/event-stream\` for events (id: the offset after the event; ` +
      `Last-Event-ID resumes), \`${LOG_MEDIA_TYPE}\` for frames, or \`text/plain\` for what the job ` +
      'printed. The log of an earlier hand-over is read with `epoch`.',
    role: 'viewer',
    query: z.strictObject({
      offset: z.coerce.number().int().min(0).default(0),
      follow: flag,
      epoch: z.coerce.number().int().min(1).optional(),
    }),
    status: 200,
    response: 'events',
    eventData: z.object({
      time: z.number(),
      text: z.string().optional().meta({ description: 'the bytes, when they are UTF-8' }),
      base64: z.string().optional().meta({ description: 'the bytes, when they are not' }),
    }),
    problems: ['wrong_offset'],
  },
  getArtifact: {
    id: 'getArtifact',
    method: 'GET',
    path: '/jobs/{id}/artifacts/content',
    summary: 'Download an artifact',
    role: 'viewer',
    query: z.strictObject({ path: z.string().min(1).max(1024) }),
    status: 200,
    response: 'binary',
  },
  putSource: {
    id: 'putSource',
    method: 'PUT',
    path: '/sources/{digest}',
    summary: 'Upload a source: a gzipped tar, known by the SHA-256 of its bytes',
    role: 'submitter',
    unaudited: true,
    body: 'binary',
    status: 201,
    response: z.object({ digest: digestSchema, size: z.number() }),
    problems: ['too_large'],
  },
  listWorkers: {
    id: 'listWorkers',
    method: 'GET',
    path: '/workers',
    summary: 'List workers',
    role: 'viewer',
    query: z.strictObject({ ...pageQuery, pool: nameSchema.optional(), all: flag }),
    status: 200,
    response: page(workerSchema),
  },
  ...HOST_ROUTES,
  ...HISTORY_ROUTES,
  listPools: {
    id: 'listPools',
    method: 'GET',
    path: '/pools',
    summary: 'List pools',
    role: 'viewer',
    status: 200,
    response: page(poolSchema),
  },
  applyPool: {
    id: 'applyPool',
    method: 'PUT',
    path: '/pools/{name}',
    summary: 'Create or change a pool',
    role: 'operator',
    body: poolSpecSchema,
    status: 200,
    response: poolSchema,
    problems: ['conflict'],
  },
  removePool: {
    id: 'removePool',
    method: 'DELETE',
    path: '/pools/{name}',
    summary: 'Remove a pool made by `pool apply`; its idle workers are destroyed',
    role: 'operator',
    status: 204,
    problems: ['conflict'],
  },
  listRollouts: {
    id: 'listRollouts',
    method: 'GET',
    path: '/rollouts',
    summary: 'List roll-outs of images to pools',
    role: 'viewer',
    status: 200,
    response: page(rolloutSchema),
  },
  startRollout: {
    id: 'startRollout',
    method: 'PUT',
    path: '/rollouts/{pool}',
    summary: 'Let a new image take over a pool by stages',
    role: 'operator',
    body: rolloutOrderSchema,
    status: 200,
    response: rolloutSchema,
    problems: ['conflict'],
  },
  pauseRollout: rolloutMove('pauseRollout', 'pause', 'Make no more workers from the new image'),
  resumeRollout: rolloutMove('resumeRollout', 'resume', 'Go on with a roll-out'),
  promoteRollout: rolloutMove('promoteRollout', 'promote', 'Let the new image take over at once'),
  backRollout: rolloutMove('backRollout', 'back', 'Go back to the old image'),
  removeRollout: {
    id: 'removeRollout',
    method: 'DELETE',
    path: '/rollouts/{pool}',
    summary: 'Forget a roll-out: the pool is made from the image that it names',
    role: 'operator',
    status: 204,
  },
  ...CI_ROUTES,
  setSecret: {
    id: 'setSecret',
    method: 'PUT',
    path: '/secrets/{name}',
    summary: 'Set a secret; it can be used by jobs, never read',
    role: 'admin',
    secret: true,
    body: z.strictObject({ value: z.string().min(1).max(65_536) }),
    status: 204,
  },
  listSecrets: {
    id: 'listSecrets',
    method: 'GET',
    path: '/secrets',
    summary: "List secrets' names",
    role: 'operator',
    status: 200,
    response: page(z.object({ name: envNameSchema, updatedAt: z.number() })),
  },
  removeSecret: {
    id: 'removeSecret',
    method: 'DELETE',
    path: '/secrets/{name}',
    summary: 'Remove a secret',
    role: 'admin',
    status: 204,
  },
  createToken: {
    id: 'createToken',
    method: 'POST',
    path: '/tokens',
    summary: 'Make an API token; its text is shown this once',
    role: 'admin',
    body: z.strictObject({
      name: nameSchema,
      role: z.enum(TOKEN_ROLES),
      ttlMs: z.int().min(1000).optional(),
    }),
    status: 201,
    response: tokenSchema.extend({ token: z.string() }),
  },
  listControllers: {
    id: 'listControllers',
    method: 'GET',
    path: '/controllers',
    summary: 'List the controllers that live',
    role: 'viewer',
    status: 200,
    response: page(controllerSchema),
  },
  listTokens: {
    id: 'listTokens',
    method: 'GET',
    path: '/tokens',
    summary: 'List API tokens',
    role: 'admin',
    status: 200,
    response: page(tokenSchema),
  },
  revokeToken: {
    id: 'revokeToken',
    method: 'DELETE',
    path: '/tokens/{id}',
    summary: 'Revoke an API token',
    role: 'admin',
    status: 204,
  },
  createJoinToken: {
    id: 'createJoinToken',
    method: 'POST',
    path: '/join-tokens',
    summary: 'Make a token with which agents join',
    role: 'admin',
    body: z.strictObject({
      ttlMs: z.int().min(1000).max(604_800_000).default(3_600_000),
      uses: z.int().min(1).max(10_000).default(1),
    }),
    status: 201,
    response: z.object({ token: z.string(), expiresAt: z.number() }),
  },
  events: {
    id: 'events',
    method: 'GET',
    path: '/events',
    summary: 'Follow changes of state',
    description: 'Server-sent events; `after` or Last-Event-ID resumes behind that `seq`.',
    role: 'viewer',
    query: z.strictObject({ after: z.coerce.number().int().min(0).optional() }),
    status: 200,
    response: 'events',
    eventData: eventSchema,
  },
  whoami: {
    id: 'whoami',
    method: 'GET',
    path: '/whoami',
    summary: 'Say who the token is and what the controller is',
    role: 'viewer',
    status: 200,
    response: z.object({
      name: z.string(),
      role: z.enum(TOKEN_ROLES),
      fleet: z.string(),
      version: z.string(),
    }),
  },
} as const satisfies Record<string, Route>;

export type RouteId = keyof typeof ROUTES;

/** Names of the `{parameters}` in a path. */
export type PathParams<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PathParams<Rest>
  : never;

type RouteOf<Id extends RouteId> = (typeof ROUTES)[Id];

export type QueryInput<Id extends RouteId> =
  RouteOf<Id> extends { query: infer Q extends z.ZodType } ? z.input<Q> : undefined;
export type QueryOutput<Id extends RouteId> =
  RouteOf<Id> extends { query: infer Q extends z.ZodType } ? z.output<Q> : undefined;
export type BodyInput<Id extends RouteId> =
  RouteOf<Id> extends { body: infer B extends z.ZodType } ? z.input<B> : undefined;
export type BodyOutput<Id extends RouteId> =
  RouteOf<Id> extends { body: infer B extends z.ZodType } ? z.output<B> : undefined;
export type ResponseOf<Id extends RouteId> =
  RouteOf<Id> extends { response: infer R extends z.ZodType } ? z.output<R> : void;
