import { whyNoWindow } from '../../domain/window.ts';
import { ROLLOUT_STATES } from '../../domain/rollout.ts';
import { z } from 'zod';
import { CONSOLES } from '../../domain/console.ts';
import { JOB_OUTCOMES, JOB_STATES } from '../../domain/job.ts';
import { WORKER_STATES } from '../../domain/worker.ts';
import type { BuildOrder } from '../../domain/build.ts';
import { buildOrderSchema } from '../session.ts';
import {
  digestSchema,
  envNameSchema,
  guestUserSchema,
  imageNameSchema,
  labelSchema,
  limitsSchema,
  nameSchema,
  volumeUseSchema,
} from '../values.ts';

/** What the API takes and gives. Times are wall-clock milliseconds of the controller. */

export const jobRequestSchema = z
  .strictObject({
    command: z.array(z.string().max(131_072)).min(1).max(10_000),
    pool: nameSchema.optional(),
    labels: z.array(labelSchema).max(64).default([]),
    env: z.record(envNameSchema, z.string().max(131_072)).default({}),
    secrets: z.array(envNameSchema).max(64).default([]),
    source: digestSchema.optional(),
    artifacts: z.array(z.string().min(1).max(1024)).max(256).default([]),
    timeoutMs: z.int().min(100).optional(),
    /** Higher runs earlier. */
    priority: z.int().min(-1000).max(1000).default(0),
    /** Who shares the fleet with whom. */
    team: nameSchema.exactOptional(),
    /** It goes before all others, whatever its team has; for operators. */
    urgent: z.boolean().exactOptional(),
    /** Name of the only host where it may run. */
    host: nameSchema.exactOptional(),
    /** How often it may run again when it was lost after it may have started. */
    retries: z.int().min(0).max(10).optional(),
    /** Free text for people, such as a commit or a pull request. */
    title: z.string().max(512).optional(),
    /** A spec to build with a host's engine, instead of running the command. */
    build: buildOrderSchema.exactOptional(),
  })
  .refine(({ build, env }) => build === undefined || Object.keys(env).length === 0, {
    path: ['env'],
    message: 'expected none: a build has the environment that its spec says',
  })
  .refine(({ build, secrets }) => ownSecrets(build, secrets), {
    path: ['build', 'secrets'],
    message: 'expected names that are in `secrets` too',
  })
  .meta({ id: 'JobRequest' });
export type JobRequest = z.output<typeof jobRequestSchema>;

function ownSecrets(build: BuildOrder | undefined, secrets: readonly string[]): boolean {
  return Object.values(build?.secrets ?? {}).every((name) => secrets.includes(name));
}

export const artifactSchema = z
  .object({ path: z.string(), size: z.number(), sha256: z.string() })
  .meta({ id: 'Artifact' });
export type Artifact = z.output<typeof artifactSchema>;

export const jobSchema = z
  .object({
    id: z.string(),
    state: z.enum(JOB_STATES),
    outcome: z.enum(JOB_OUTCOMES).optional(),
    /** The command's own exit code. */
    exitCode: z.int().optional(),
    /** Why it ended as it did, or what it waits for. */
    reason: z.string().optional(),
    title: z.string().optional(),
    command: z.array(z.string()),
    pool: z.string().optional(),
    labels: z.array(z.string()),
    secrets: z.array(z.string()),
    artifactGlobs: z.array(z.string()),
    priority: z.int(),
    team: z.string().optional(),
    urgent: z.boolean(),
    /** Name of the only host where it may run. */
    wantedHost: z.string().optional(),
    retries: z.int(),
    timeoutMs: z.int(),
    /** It builds a spec, whose steps its log tells of. */
    isBuild: z.boolean(),
    /** Integration whose runner it is. */
    integration: z.string().optional(),
    /** Pool of the worker that it was given to. */
    ranIn: z.string().optional(),
    /** That worker was ready when it was submitted. */
    warm: z.boolean().optional(),
    /** Hand-overs to a worker so far. */
    epoch: z.int(),
    cancelRequested: z.boolean(),
    workerId: z.string().optional(),
    hostName: z.string().optional(),
    submittedAt: z.number(),
    assignedAt: z.number().optional(),
    startedAt: z.number().optional(),
    finishedAt: z.number().optional(),
    logBytes: z.number(),
    artifacts: z.array(artifactSchema),
  })
  .meta({ id: 'Job' });
export type JobView = z.output<typeof jobSchema>;

export const workerSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    pool: z.string(),
    hostName: z.string(),
    state: z.enum(WORKER_STATES),
    goal: z.enum(['ready', 'run', 'cancel', 'destroyed']),
    epoch: z.int(),
    driver: z.string(),
    image: z.string(),
    jobId: z.string().optional(),
    reason: z.string().optional(),
    /** Its job has ended, and it stays until then for people to look at. */
    keptUntil: z.number().optional(),
    /** Ways into it now. */
    consoles: z.array(z.enum(CONSOLES)),
    createdAt: z.number(),
    readyAt: z.number().optional(),
    updatedAt: z.number(),
  })
  .meta({ id: 'Worker' });
export type WorkerView = z.output<typeof workerSchema>;

export const controllerSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    /** What it alone sees to: `scheduling`, `tidiness`, `integration NAME`. */
    leases: z.array(z.string()),
    /** Hosts whose agents have a session with it. */
    hosts: z.int(),
  })
  .meta({ id: 'Controller' });
export type ControllerView = z.output<typeof controllerSchema>;

/** A time that comes again: from each moment of a cron pattern on, for a while. */
export const windowSchema = z
  .strictObject({
    cron: z.string().max(256),
    forMs: z
      .int()
      .min(60_000)
      .max(31 * 86_400_000),
    timeZone: z.string().max(64).exactOptional(),
  })
  .superRefine((window, context) => {
    const why = whyNoWindow(window);
    if (why !== undefined) context.addIssue({ code: 'custom', path: ['cron'], message: why });
  });

const poolScheduleSchema = z.strictObject({
  when: windowSchema,
  ready: z.int().min(0).max(10_000).exactOptional(),
  max: z.int().min(0).max(100_000).exactOptional(),
});

/** A pool as the API shows and takes it. Left out: the default. */
export const poolSpecSchema = z
  .strictObject({
    name: nameSchema,
    labels: z.array(labelSchema).max(64).default([]),
    hostLabels: z.array(labelSchema).max(64).default([]),
    image: imageNameSchema.default('empty'),
    kind: z.enum(['sandbox', 'vm', 'build']).default('sandbox'),
    sandbox: nameSchema.exactOptional(),
    store: nameSchema.exactOptional(),
    vm: nameSchema.exactOptional(),
    guest: z.enum(['macos', 'linux']).default('macos'),
    guestUser: guestUserSchema.exactOptional(),
    ready: z.int().min(0).max(10_000).default(0),
    max: z.int().min(1).max(100_000).default(100),
    schedule: z.array(poolScheduleSchema).max(32).readonly().exactOptional(),
    forecast: z.literal('on').exactOptional(),
    placement: z.enum(['spread', 'pack']).exactOptional(),
    idleMs: z.int().min(0).exactOptional(),
    softAgeMs: z.int().min(60_000).exactOptional(),
    hardAgeMs: z.int().min(60_000).exactOptional(),
    jobsPerWorker: z.int().min(1).max(1_000).exactOptional(),
    limits: limitsSchema.default({}),
    trust: z.enum(['trusted', 'untrusted']).exactOptional(),
    volumes: z.array(volumeUseSchema).max(16).readonly().exactOptional(),
    retries: z.int().min(0).max(10).default(0),
    defaultTimeoutMs: z.int().min(100).default(3_600_000),
    maxTimeoutMs: z.int().min(100).default(86_400_000),
  })
  .refine((pool) => pool.ready <= pool.max, {
    path: ['ready'],
    message: 'expected at most `max`',
  })
  .refine(({ softAgeMs = 0, hardAgeMs = Infinity }) => softAgeMs < hardAgeMs, {
    path: ['softAgeMs'],
    message: 'expected less than `hardAgeMs`',
  })
  .refine(
    ({ jobsPerWorker = 1, trust, kind }) =>
      jobsPerWorker === 1 || (trust !== 'untrusted' && kind !== 'build'),
    {
      path: ['jobsPerWorker'],
      message: 'expected 1: builds and strangers’ jobs each have a worker of their own',
    },
  )
  .refine((pool) => pool.kind !== 'build' || pool.ready === 0, {
    path: ['ready'],
    message: 'expected 0: builds need no workers that wait',
  })
  .refine((pool) => pool.kind !== 'build' || pool.volumes === undefined, {
    path: ['volumes'],
    message: 'expected none: builds have caches of their own',
  })
  .refine(({ volumes = [] }) => new Set(volumes.map(({ name }) => name)).size === volumes.length, {
    path: ['volumes'],
    message: 'expected each name once',
  })
  .refine((pool) => pool.kind !== 'vm' || pool.vm !== undefined, {
    path: ['vm'],
    message: 'expected the name of a vm driver, since kind is vm',
  })
  .meta({ id: 'PoolSpec' });
export type PoolSpec = z.output<typeof poolSpecSchema>;

export const poolSchema = z
  .object({
    spec: poolSpecSchema,
    /** `config`: from pomona.yaml; `api`: from `pomona pool apply`. */
    origin: z.enum(['config', 'api', 'builtin']),
    /** What its workers are made from now: another than the spec's after a roll-out. */
    image: z.string(),
    queued: z.int(),
    counts: z.record(z.enum(WORKER_STATES), z.int()),
  })
  .meta({ id: 'Pool' });
export type PoolView = z.output<typeof poolSchema>;

const tallySchema = z.object({
  /** Workers made from it since the roll-out began, and those that failed by themselves. */
  made: z.int(),
  failed: z.int(),
  /** Jobs that ended on it, and those that did not succeed. */
  jobs: z.int(),
  jobsFailed: z.int(),
});

/** Begins a roll-out. Left out: the default. */
export const rolloutOrderSchema = z
  .strictObject({
    image: imageNameSchema,
    /** Shares of the new workers, in per cent; after the last one the image has taken over. */
    stages: z
      .array(z.number().gt(0).max(100))
      .min(1)
      .max(20)
      .default([10, 50])
      .refine((stages) => stages.every((share, at) => at === 0 || share > (stages[at - 1] ?? 0)), {
        message: 'expected ascending shares',
      }),
    /** Jobs that have to end on the new image in each stage. */
    trials: z.int().min(1).max(100_000).default(20),
  })
  .meta({ id: 'RolloutOrder' });
export type RolloutOrder = z.output<typeof rolloutOrderSchema>;

/** A new image that takes over a pool. */
export const rolloutSchema = z
  .object({
    pool: z.string(),
    from: z.string(),
    to: z.string(),
    state: z.enum(ROLLOUT_STATES),
    stages: z.array(z.number()),
    /** Index of the stage that it is in. */
    stage: z.int(),
    /** Per cent of new workers that are made from the new image now. */
    share: z.number(),
    trials: z.int(),
    /** Why it went back or on. */
    reason: z.string().optional(),
    startedAt: z.number(),
    updatedAt: z.number(),
    /** Hosts that have the new image. */
    hosts: z.int(),
    old: tallySchema,
    new: tallySchema,
  })
  .meta({ id: 'Rollout' });
export type RolloutView = z.output<typeof rolloutSchema>;

/** Why a queued job has no worker yet. */
export const whySchema = z
  .object({
    jobId: z.string(),
    state: z.enum(JOB_STATES),
    /** One sentence for people. */
    summary: z.string(),
    /** Jobs that go first. */
    ahead: z.int(),
    pools: z.array(
      z.object({
        pool: z.string(),
        fits: z.boolean(),
        reason: z.string(),
        hosts: z.array(z.object({ host: z.string(), chosen: z.boolean(), reason: z.string() })),
      }),
    ),
  })
  .meta({ id: 'Why' });
export type Why = z.output<typeof whySchema>;

export const TOKEN_ROLES = ['admin', 'operator', 'submitter', 'viewer'] as const;
export type Role = (typeof TOKEN_ROLES)[number];

export const tokenSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    role: z.enum(TOKEN_ROLES),
    createdAt: z.number(),
    expiresAt: z.number().optional(),
    lastUsedAt: z.number().optional(),
  })
  .meta({ id: 'Token' });

/** One change of state, as `/api/v1/events` streams it. */
export const eventSchema = z
  .object({
    seq: z.int(),
    at: z.number(),
    kind: z.enum(['job', 'worker', 'host', 'pool', 'integration', 'host-rollout']),
    /** Id (jobs, workers) or name (hosts, pools, integrations). */
    id: z.string(),
    /** The new state or outcome. */
    state: z.string(),
    reason: z.string().optional(),
  })
  .meta({ id: 'Event' });
export type EventView = z.output<typeof eventSchema>;
