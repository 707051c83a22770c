import { z } from 'zod';

/** What the API tells of how things were. Times are wall-clock ms. */

const percentiles = { p50: z.number(), p95: z.number(), p99: z.number(), longest: z.number() };

/** What happened to a job. */
export const timelineSchema = z
  .object({
    events: z.array(
      z.object({
        at: z.number(),
        /** Of the job, or of a worker that it was given to. */
        of: z.enum(['job', 'worker']),
        id: z.string(),
        state: z.string(),
        reason: z.string().optional(),
      }),
    ),
    /** The worker that has it, or had it last, while it is there. */
    worker: z
      .object({
        id: z.string(),
        state: z.string(),
        keptUntil: z.number().optional(),
        /** Ways into it. */
        consoles: z.array(z.enum(['shell', 'screen'])),
      })
      .optional(),
    /** How long its worker is to stay when it has ended, ms. */
    keepMs: z.number().optional(),
    /** The CI system's own job. */
    ci: z
      .object({
        integration: z.string(),
        title: z.string().optional(),
        url: z.string().optional(),
      })
      .optional(),
  })
  .meta({ id: 'Timeline' });
export type Timeline = z.output<typeof timelineSchema>;

/** What a job that waits waits for. */
export const queueSchema = z
  .object({ jobId: z.string(), summary: z.string() })
  .meta({ id: 'QueuePlace' });

export const imageSchema = z
  .object({
    name: z.string(),
    /** Pools that are made from it. */
    pools: z.array(z.string()),
    /** Its contents on hosts, those that most have first. */
    versions: z.array(
      z.object({
        digest: z.string(),
        bytes: z.number().optional(),
        hosts: z.array(z.string()),
      }),
    ),
    /** Hosts that bring it, or cannot, and how far they are. */
    fetching: z.array(
      z.object({
        host: z.string(),
        detail: z.string(),
        /** Share of its bytes that are there, from 0 to 1. */
        share: z.number().optional(),
      }),
    ),
    /** Hosts that should have it and do not. */
    missing: z.array(z.string()),
  })
  .meta({ id: 'Image' });
export type ImageView = z.output<typeof imageSchema>;

export const poolHistorySchema = z
  .object({
    from: z.number(),
    to: z.number(),
    bucketMs: z.number(),
    /** How it was, by the minute or longer. */
    samples: z.array(
      z.object({
        at: z.number(),
        ready: z.number(),
        preparing: z.number(),
        busy: z.number(),
        queued: z.number(),
        wantReady: z.number(),
        max: z.number(),
      }),
    ),
    /** Jobs that were handed to workers of it, by whether one was ready when they came. */
    demand: z.array(z.object({ at: z.number(), warm: z.int(), cold: z.int() })),
  })
  .meta({ id: 'PoolHistory' });
export type PoolHistory = z.output<typeof poolHistorySchema>;

export const capacitySchema = z
  .object({
    from: z.number(),
    to: z.number(),
    bucketMs: z.number(),
    /** Workers that all hosts together take at once, now. */
    slots: z.int(),
    wait: z.array(z.object({ at: z.number(), jobs: z.int(), ...percentiles })),
    pools: z.array(
      z.object({
        pool: z.string(),
        jobs: z.int(),
        warm: z.int(),
        cold: z.int(),
        wait: z.object(percentiles),
        /** Workers that had a job, on average in each bucket. */
        busy: z.array(z.number()),
      }),
    ),
    hosts: z.array(
      z.object({
        name: z.string(),
        slots: z.int(),
        /** Share of its places that had a job, from 0 to 1. */
        use: z.number(),
        /** The same in each bucket; only where there are few hosts. */
        course: z.array(z.number()).optional(),
      }),
    ),
    /** Left out: the configuration says no prices. */
    cost: z
      .object({
        currency: z.string(),
        total: z.number(),
        perJob: z.number().optional(),
        hosts: z.array(
          z.object({
            name: z.string(),
            /** It was there for so long of this time. */
            hours: z.number(),
            perHour: z.number(),
            cost: z.number(),
            endsAt: z.number().optional(),
          }),
        ),
      })
      .optional(),
    /** There were more jobs than could be looked at: the oldest are left out. */
    cut: z.boolean(),
  })
  .meta({ id: 'Capacity' });
export type Capacity = z.output<typeof capacitySchema>;

/** A question to the simulator about the jobs of the past. */
export const planQuestionSchema = z
  .strictObject({
    /** Jobs of so many hours are played. */
    hours: z
      .int()
      .min(1)
      .max(24 * 30)
      .default(26),
    /** Such as `p95 wait < 2m`: the fewest hosts are looked for. */
    target: z.string().max(64).optional(),
    /** Without a target: how long jobs wait on so many hosts. */
    hosts: z.int().min(1).max(10_000).optional(),
    /** Workers of a host at once. */
    slots: z.int().min(1).max(1_000).default(2),
    /** Share of the places that is kept ready, in per cent. */
    ready: z.number().min(0).max(100).default(50),
    /** ms from asking for a worker until it is ready. */
    makeMs: z.int().min(0).max(86_400_000).default(60_000),
  })
  .meta({ id: 'PlanQuestion' });
export type PlanQuestion = z.output<typeof planQuestionSchema>;

export const planAnswerSchema = z
  .object({
    jobs: z.int(),
    /** The fewest that reach the target; left out: none does, or there was none. */
    hosts: z.int().optional(),
    summary: z.string(),
    tried: z.array(
      z.object({
        hosts: z.int(),
        wait: z.object(percentiles),
        use: z.number(),
        /** Jobs that waited and ran; ms since the first job. */
        course: z.array(z.object({ at: z.number(), waiting: z.number(), running: z.number() })),
      }),
    ),
  })
  .meta({ id: 'PlanAnswer' });
export type PlanAnswer = z.output<typeof planAnswerSchema>;

export const auditSchema = z
  .object({
    seq: z.int(),
    at: z.number(),
    who: z.string(),
    role: z.string(),
    action: z.string(),
    target: z.string(),
    detail: z.string().optional(),
    /** HTTP status of the answer: from 400 on it was refused or failed. */
    status: z.int(),
    address: z.string().optional(),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntry = z.output<typeof auditSchema>;

export const consoleSchema = z
  .object({
    id: z.string(),
    kind: z.enum(['shell', 'screen']),
    workerId: z.string(),
    who: z.string(),
    openedAt: z.number(),
    endedAt: z.number().optional(),
    /** Of the recording. */
    bytes: z.number(),
  })
  .meta({ id: 'Console' });
export type ConsoleView = z.output<typeof consoleSchema>;
