import { z } from 'zod';
import { nameSchema } from '../values.ts';

/** What the API takes and gives of integrations. Times are wall-clock milliseconds. */

/** A CI system whose jobs run on workers. */
export const integrationSchema = z
  .object({
    name: z.string(),
    kind: z.string(),
    /** Where it is. */
    location: z.string(),
    /** `starting`: it has not been looked at yet; `failing`: looking at it fails. */
    state: z.enum(['starting', 'ok', 'failing', 'paused']),
    /** Why it is paused, or fails, in words. */
    reason: z.string().optional(),
    /** Path of its webhook on this controller. */
    webhook: z.string().optional(),
    lastLookAt: z.number().optional(),
    lastEvent: z.object({ at: z.number(), what: z.string() }).optional(),
    lastError: z.object({ at: z.number(), what: z.string(), message: z.string() }).optional(),
    /** What the CI system still lets us ask. */
    budget: z.object({ remaining: z.number(), limit: z.number(), resetAt: z.number() }).optional(),
    jobs: z.object({
      queued: z.int(),
      running: z.int(),
      /** Queued ones that no pool takes. */
      unroutable: z.int(),
    }),
    runners: z.object({
      /** They wait for a worker. */
      waiting: z.int(),
      /** Their worker starts them. */
      starting: z.int(),
      /** They wait for a job. */
      idle: z.int(),
      busy: z.int(),
      leaving: z.int(),
      /** Their worker is gone and the CI system has to forget them. */
      removing: z.int(),
    }),
    /** From the wish for a runner to a runner that waits for jobs, of the last 100. */
    readyMs: z.object({ p50: z.number(), p95: z.number() }).optional(),
    /** From the CI system's event to the start of its job, of the last 100. */
    startMs: z.object({ p50: z.number(), p95: z.number() }).optional(),
  })
  .meta({ id: 'Integration' });
export type IntegrationView = z.output<typeof integrationSchema>;

/** A job as a CI system has it. */
export const ciJobSchema = z
  .object({
    key: z.string(),
    state: z.enum(['queued', 'running']),
    title: z.string(),
    source: z.string(),
    url: z.string().optional(),
    labels: z.array(z.string()),
    event: z.string(),
    queuedAt: z.number(),
    startedAt: z.number().optional(),
    runner: z.string().optional(),
    trust: z.enum(['trusted', 'untrusted']).optional(),
    pool: z.string().optional(),
    /** Our job that runs it, or that is to become its runner. */
    jobId: z.string().optional(),
    /** What it waits for, in one sentence. */
    reason: z.string(),
  })
  .meta({ id: 'CiJob' });
export type CiJobView = z.output<typeof ciJobSchema>;

/** A job that a CI system might have. */
export const ciQuestionSchema = z
  .strictObject({
    integration: nameSchema.optional(),
    labels: z.array(z.string().min(1).max(256)).max(100).default([]),
    source: z.string().max(256).default(''),
    event: z.string().max(64).default('push'),
    fork: z.boolean().default(false),
    author: z.string().max(64).optional(),
    approved: z.boolean().optional(),
  })
  .meta({ id: 'CiQuestion' });
export type CiQuestion = z.output<typeof ciQuestionSchema>;

export const ciExplanationSchema = z
  .object({
    integration: z.string(),
    taken: z.boolean(),
    pool: z.string().optional(),
    trust: z.enum(['trusted', 'untrusted']).optional(),
    priority: z.int().optional(),
    team: z.string().optional(),
    /** One sentence for people. */
    summary: z.string(),
    /** Every route, or pool, that was looked at. */
    lines: z.array(z.object({ what: z.string(), takes: z.boolean(), reason: z.string() })),
  })
  .meta({ id: 'CiExplanation' });
export type CiExplanation = z.output<typeof ciExplanationSchema>;

export const ciCheckSchema = z
  .object({ what: z.string(), ok: z.boolean(), detail: z.string() })
  .meta({ id: 'CiCheck' });
