import { z } from 'zod';
import { MOST_HINTS } from '../domain/build.ts';
import { CONSOLES, type DesiredConsole } from '../domain/console.ts';
import { JOB_OUTCOMES } from '../domain/job.ts';
import { ISOLATION_LEVELS } from '../domain/host.ts';
import { HOST_TASK_KINDS, type HostTask } from '../domain/host-task.ts';
import { WORKER_STATES, type DesiredWorker } from '../domain/worker.ts';
import {
  digestSchema,
  envNameSchema,
  guestUserSchema,
  hostSettingsSchema,
  imageNameSchema,
  imageRefSchema,
  labelSchema,
  limitsSchema,
  nameSchema,
  volumeUseSchema,
} from './values.ts';
import { peerAddressSchema } from './image-turns.ts';

/**
 * The agent session: one WebSocket at `/agent/v1/session`, opened by the agent with its host
 * credential as bearer token. Each text message is one of the JSON objects below.
 *
 *   agent       -> hello     who it is and its facts; once, first
 *   controller  -> welcome   answers hello
 *   agent       -> observed  every worker it has (`complete`), as the answer to welcome: only now the
 *                            session has begun. A hello that was long under way, or that a controller
 *                            reads late, is of a connection that is over, and is not answered
 *   controller  -> desired   the whole list of workers wanted on this host, and the task that the host
 *                            is to do to itself; on every change
 *   agent       -> observed  workers whose state changed, or all of them (`complete`), at least
 *                            each `heartbeatMs`
 *
 * It is level-triggered: any message may be lost with the connection, since the next one of its
 * kind says all that matters. A destroyed worker is reported `destroyed` until the controller no
 * longer wants it; a desired worker the agent has never seen is made; a worker the agent has and
 * the controller does not want is destroyed. Bulk data does not pass here:
 *
 *   PUT /agent/v1/jobs/{job}/log?epoch=&offset=          framed log bytes; 409 names the offset wanted
 *   PUT /agent/v1/jobs/{job}/artifacts?epoch=&path=      one artifact's bytes
 *   GET /agent/v1/jobs/{job}/source?epoch=               the job's source
 */
export const SESSION_PATH = '/agent/v1/session';
export const SESSION_PROTOCOL = 3;

/** WebSocket close codes with a meaning of their own. */
export const CLOSE = {
  /** The message could not be understood; the reason says where. */
  badMessage: 4400,
  /** The credential is unknown or was revoked. */
  unauthorized: 4401,
  /** Another agent with this host's credential took over; do not reconnect. */
  superseded: 4409,
  /** The controller speaks another protocol version. */
  protocol: 4426,
} as const;

const capacitySchema = z.strictObject({
  workers: z.int().min(0).max(10_000),
  macosVms: z.int().min(0).max(10_000),
});

const driverReportSchema = z.strictObject({
  name: nameSchema,
  available: z.boolean(),
  detail: z.string().max(4096),
  rank: z.number(),
  isolation: z.enum(ISOLATION_LEVELS).exactOptional(),
});

/** A part of a SHA-256 hash, as `BuildOrder.hints` has them. */
const hintSchema = z.string().regex(/^[0-9a-f]{16}$/, 'expected 16 hexadecimal digits');

export const buildOrderSchema = z.strictObject({
  spec: z.string().max(65_536),
  file: z.string().max(1024),
  noCache: z.boolean(),
  untrusted: z.boolean(),
  format: z.enum(['plain', 'json']),
  secrets: z.record(z.string().max(256), envNameSchema),
  store: nameSchema.exactOptional(),
  hints: z.array(hintSchema).max(1000).readonly(),
});

export const hostFactsSchema = z.strictObject({
  os: z.enum(['macos', 'linux']),
  osVersion: z.string().max(128),
  arch: z.enum(['arm64', 'x64']),
  cpus: z.number().positive(),
  memoryBytes: z.number().positive(),
  labels: z.array(labelSchema).max(256).readonly(),
  capacity: capacitySchema,
  sandboxes: z.array(driverReportSchema).max(64).readonly(),
  stores: z.array(driverReportSchema).max(64).readonly(),
  vms: z.array(driverReportSchema).max(64).readonly(),
  images: z.array(imageRefSchema).max(10_000).readonly(),
  imageBytes: z.record(z.string().max(128), z.number().min(0)).exactOptional(),
  macosSlots: z.strictObject({ foreign: z.int().min(0), leaked: z.boolean() }).exactOptional(),
  peer: peerAddressSchema.exactOptional(),
  imageFetches: z
    .array(
      z.strictObject({
        name: imageNameSchema,
        detail: z.string().max(1024),
        share: z.number().min(0).max(1).exactOptional(),
      }),
    )
    .max(1_000)
    .readonly()
    .exactOptional(),
  builds: z
    .strictObject({ store: nameSchema, hints: z.array(hintSchema).max(MOST_HINTS).readonly() })
    .exactOptional(),
  tasks: z.array(z.enum(HOST_TASK_KINDS)).readonly().exactOptional(),
  consoles: z
    .strictObject({
      sandboxes: z.boolean(),
      shells: z.array(nameSchema).max(64).readonly(),
      screens: z.array(nameSchema).max(64).readonly(),
    })
    .exactOptional(),
  settings: hostSettingsSchema.exactOptional(),
  endsAt: z.number().exactOptional(),
});

export const jobResultSchema = z.strictObject({
  outcome: z.enum(JOB_OUTCOMES),
  exitCode: z.int().min(0).max(255).exactOptional(),
  reason: z.string().max(4096).exactOptional(),
  startedAt: z.number().exactOptional(),
  finishedAt: z.number(),
  logBytes: z.int().min(0),
});

const observedWorkerSchema = z.strictObject({
  id: nameSchema,
  epoch: z.int().min(1),
  state: z.enum(WORKER_STATES),
  reason: z.string().max(4096).exactOptional(),
  jobId: nameSchema.exactOptional(),
  startedAt: z.number().exactOptional(),
  result: jobResultSchema.exactOptional(),
});

export const agentMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('hello'),
    protocol: z.int(),
    agentVersion: z.string().max(64),
    facts: hostFactsSchema,
  }),
  z.strictObject({
    type: z.literal('observed'),
    /** True: workers not listed do not exist. False: workers not listed did not change. */
    complete: z.boolean(),
    workers: z.array(observedWorkerSchema),
    /** Present when images, drivers or labels changed. */
    facts: hostFactsSchema.exactOptional(),
    diskFreeBytes: z.number().exactOptional(),
    /** Wall-clock ms of the host, as it sends this. */
    clock: z.number().exactOptional(),
    /** What was left on the host, in whole reports. */
    leaks: z
      .array(
        z.strictObject({
          kind: z.string().max(128),
          name: z.string().max(512),
          since: z.number(),
          problem: z.string().max(1024).exactOptional(),
        }),
      )
      .max(1_000)
      .exactOptional(),
    /** The last task that was begun. */
    task: z
      .strictObject({
        id: nameSchema,
        state: z.enum(['running', 'done', 'failed']),
        detail: z.string().max(4096).exactOptional(),
      })
      .exactOptional(),
  }),
]);

export type AgentMessage = z.output<typeof agentMessageSchema>;

const payloadSchema = z.strictObject({
  command: z.array(z.string()).min(1),
  env: z.record(envNameSchema, z.string()),
  secrets: z.array(envNameSchema),
  source: digestSchema.exactOptional(),
  artifacts: z.array(z.string()),
  timeoutMs: z.int().positive(),
  build: buildOrderSchema.exactOptional(),
});

const commonSpec = {
  ...{ pool: nameSchema, image: imageRefSchema, limits: limitsSchema },
  trust: z.literal('untrusted').exactOptional(),
  jobs: z.int().min(1).max(1_000).exactOptional(),
  hardAgeMs: z.int().positive().exactOptional(),
  volumes: z.array(volumeUseSchema).max(16).readonly().exactOptional(),
};

export const workerSpecSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sandbox'),
    ...commonSpec,
    sandbox: nameSchema,
    store: nameSchema,
  }),
  z.strictObject({
    kind: z.literal('vm'),
    ...commonSpec,
    vm: nameSchema,
    guest: z.enum(['macos', 'linux']),
    user: guestUserSchema.exactOptional(),
  }),
  z.strictObject({ kind: z.literal('build'), ...commonSpec, store: nameSchema }),
]);

const desiredWorkerSchema = z.strictObject({
  id: nameSchema,
  name: nameSchema,
  epoch: z.int().min(1),
  goal: z.enum(['ready', 'run', 'cancel', 'destroyed']),
  spec: workerSpecSchema,
  order: z
    .strictObject({
      jobId: nameSchema,
      epoch: z.int().min(1),
      payload: payloadSchema,
      secretValues: z.record(envNameSchema, z.string()),
    })
    .exactOptional(),
});

export const controllerMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('welcome'),
    /** Short id of the fleet, part of every worker's name. */
    fleet: nameSchema,
    hostId: nameSchema,
    heartbeatMs: z.int().positive(),
    /** What hosts of the fleet prove themselves by to each other: 32 bytes in base64. */
    peerKey: z.base64(),
  }),
  z.strictObject({
    type: z.literal('desired'),
    workers: z.array(desiredWorkerSchema),
    /** Names of the images that the host should have. */
    images: z.array(imageNameSchema),
    /** What the host is to do to itself, until its agent said how it went. */
    task: z
      .strictObject({
        id: nameSchema,
        kind: z.enum(HOST_TASK_KINDS),
        value: z.string().max(65_536).exactOptional(),
      })
      .exactOptional(),
    /** Ways into its workers that people wait for; only for agents that offer them. */
    consoles: z
      .array(
        z.strictObject({
          id: nameSchema,
          kind: z.enum(CONSOLES),
          worker: nameSchema,
          cols: z.int().min(2).max(1_000),
          lines: z.int().min(2).max(1_000),
        }),
      )
      .max(1_000)
      .exactOptional(),
  }),
]);

export type ControllerMessage =
  | Extract<z.output<typeof controllerMessageSchema>, { type: 'welcome' }>
  | {
      readonly type: 'desired';
      readonly workers: readonly DesiredWorker[];
      readonly images: readonly string[];
      readonly task?: HostTask;
      readonly consoles?: readonly DesiredConsole[];
    };

/** The message, or what is wrong with it, short enough for a WebSocket's close reason. */
export function parseMessage<Message>(schema: z.ZodType<Message>, data: Buffer): Message | string {
  let json: unknown;
  try {
    json = JSON.parse(data.toString('utf8'));
  } catch {
    return 'expected JSON';
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}`.slice(0, 100);
}
