import { z } from 'zod';
import { dashboardConfigSchema, pricesConfigSchema } from './dashboard.ts';
import {
  alertConfigSchema,
  maintenanceConfigSchema,
  poolScheduleConfigSchema,
  reservationConfigSchema,
  teamsConfigSchema,
} from './fleet.ts';
import { integrationSchema } from './integrations/integrations.ts';
import { poolSpecSchema } from '../api/resources.ts';
import {
  durationSchema,
  guestUserSchema,
  imageNameSchema,
  labelSchema,
  nameSchema,
  sizeSchema,
} from '../values.ts';

/** `pomona.yaml`, as people write it: durations as `30m`, sizes as `4GiB`. */

const limits = z
  .strictObject({
    cpus: z.number().positive().max(1024).exactOptional().describe('Processor cores; may be 0.5'),
    memory: sizeSchema.exactOptional().describe('Memory, such as 4GiB'),
    openFiles: z.int().min(16).exactOptional().describe('Open files of a process'),
    processes: z.int().min(1).exactOptional().describe('Processes and threads'),
    log: sizeSchema.exactOptional().describe('Log kept of a job; the rest is dropped'),
  })
  .transform(({ memory, log, ...same }) => ({
    ...same,
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(log === undefined ? {} : { logBytes: log }),
  }));

const volume = z
  .strictObject({
    name: z.string().describe('Name of the volume'),
    path: z.string().describe('Where it is in workers: relative to the home, or absolute'),
    mode: z
      .enum(['copies', 'exclusive'])
      .exactOptional()
      .describe(
        'copies (default): each worker has a copy, which replaces the volume when its job succeeds; exclusive: one worker of a host at a time has the volume itself',
      ),
    size: sizeSchema
      .exactOptional()
      .describe('Of the disk that it is in VMs with qemu; default: 64GiB'),
  })
  .transform(({ size, ...same }) => ({
    ...same,
    ...(size === undefined ? {} : { sizeBytes: size }),
  }));

export const poolConfigSchema = z
  .strictObject({
    name: nameSchema.describe('Name of the pool'),
    labels: z.array(labelSchema).exactOptional().describe('Labels jobs may ask for'),
    hostLabels: z.array(labelSchema).exactOptional().describe('Labels a host must have'),
    image: imageNameSchema.exactOptional().describe('Image of its workers; default: empty'),
    kind: z
      .enum(['sandbox', 'vm', 'build'])
      .exactOptional()
      .describe('sandbox (default), vm, or build: for `pomona build --remote`'),
    sandbox: nameSchema.exactOptional().describe('Sandbox driver; default: the best on the host'),
    store: nameSchema.exactOptional().describe('Store driver; default: the best on the host'),
    vm: nameSchema.exactOptional().describe('VM driver, for kind vm'),
    guest: z.enum(['macos', 'linux']).exactOptional().describe('What a VM runs; default: macos'),
    guestUser: guestUserSchema
      .exactOptional()
      .describe('Who jobs run as in a VM; default: admin with macOS drivers, root with qemu'),
    ready: z.int().min(0).exactOptional().describe('Booted workers kept waiting; default: 0'),
    max: z.int().min(1).exactOptional().describe('Workers at most; default: 100'),
    schedule: z
      .array(poolScheduleConfigSchema)
      .exactOptional()
      .describe('Other numbers at some times; of those that are open the last counts'),
    forecast: z
      .literal('on')
      .exactOptional()
      .describe('Keep as many more ready as the last weeks say will be needed'),
    placement: z
      .enum(['spread', 'pack'])
      .exactOptional()
      .describe('spread (default): on the host with the most room; pack: with the least'),
    idle: durationSchema
      .exactOptional()
      .describe('How long a ready worker that nobody needs is kept; default: 10s'),
    softAge: durationSchema
      .exactOptional()
      .describe('Idle workers of this age are replaced, one at a time; default: never'),
    hardAge: durationSchema.exactOptional().describe('No worker is idle at this age'),
    jobsPerWorker: z
      .int()
      .min(1)
      .exactOptional()
      .describe('Jobs that a worker runs one after the other, sharing its home; default: 1'),
    limits: limits.exactOptional().describe('Limits of each worker'),
    trust: z
      .enum(['trusted', 'untrusted'])
      .exactOptional()
      .describe("Whose jobs it runs; untrusted: strangers'; default: trusted"),
    volumes: z
      .array(volume)
      .exactOptional()
      .describe('What outlives its workers, for caches; each host has its own'),
    retries: z
      .int()
      .min(0)
      .max(10)
      .exactOptional()
      .describe('Runs again of a lost job; default: 0'),
    timeout: durationSchema
      .exactOptional()
      .describe('Time-out of jobs that name none; default: 1h'),
    maxTimeout: durationSchema.exactOptional().describe('Longest time-out; default: 24h'),
  })
  .transform(({ timeout, maxTimeout, idle, softAge, hardAge, ...same }, context) => {
    const pool = poolSpecSchema.safeParse({
      ...same,
      ...(idle === undefined ? {} : { idleMs: idle }),
      ...(softAge === undefined ? {} : { softAgeMs: softAge }),
      ...(hardAge === undefined ? {} : { hardAgeMs: hardAge }),
      ...(timeout === undefined ? {} : { defaultTimeoutMs: timeout }),
      ...(maxTimeout === undefined ? {} : { maxTimeoutMs: maxTimeout }),
    });
    if (pool.success) return pool.data;
    for (const { path, message } of pool.error.issues) {
      context.addIssue({ code: 'custom', path: [...path], message });
    }
    return z.NEVER;
  });

const NO_DATABASE = 'expected postgres://USER@HOST/DATABASE; the password may come from PGPASSWORD';

export const configSchema = z.strictObject({
  name: nameSchema.exactOptional().describe('Name of this controller; default: its host name'),
  database: z
    .string()
    .regex(/^postgres(ql)?:\/\//, NO_DATABASE)
    .exactOptional()
    .describe(
      'postgres://USER@HOST/DATABASE for several controllers; default: SQLite in the data directory',
    ),
  files: z
    .string()
    .exactOptional()
    .describe(
      'Where logs, artifacts and sources are, which all controllers share: a directory, or s3://BUCKET/PREFIX',
    ),
  secretsKey: z
    .string()
    .exactOptional()
    .describe('File with the key of secrets, the same for all controllers'),
  pools: z
    .array(poolConfigSchema)
    .default([
      poolSpecSchema.parse({ name: 'default', labels: ['default'], ready: 2 }),
      poolSpecSchema.parse({ name: 'builds', kind: 'build' }),
    ])
    .describe('Pools of workers; left out: `default`, which keeps 2 ready, and `builds`'),
  agent: z
    .strictObject({
      name: nameSchema.exactOptional().describe('Name of the local host; default: its host name'),
      labels: z.array(labelSchema).default([]).describe('Labels of the local host'),
      workers: z
        .int()
        .min(0)
        .exactOptional()
        .describe('Workers it takes at once; default: its CPUs, at least 2'),
      macosVms: z
        .int()
        .min(0)
        .max(2)
        .exactOptional()
        .describe('macOS VMs it takes at once; at most 2'),
      imageRemote: z
        .string()
        .exactOptional()
        .describe('Where it brings images of pools from, such as s3://images/macs'),
      imageRate: sizeSchema.exactOptional().describe('Bytes a second to bring at most'),
      imageBudget: sizeSchema
        .exactOptional()
        .describe('Room for images; the least used that were brought are removed'),
    })
    .prefault({})
    .describe('The local agent of `pomona up`'),
  teams: teamsConfigSchema
    .default({})
    .describe('Teams with a weight or a quota; teams that are not here have weight 1, no quota'),
  reservations: z
    .array(reservationConfigSchema)
    .default([])
    .describe('Workers of pools that one team has for itself'),
  maintenance: z
    .array(maintenanceConfigSchema)
    .default([])
    .describe('Times at which nothing starts on some hosts; what runs there ends by itself'),
  alerts: z
    .array(alertConfigSchema)
    .default([])
    .describe('Who is told of hosts and roll-outs that need a look'),
  dashboard: dashboardConfigSchema.prefault({}).describe('The web page, and how people sign in'),
  prices: pricesConfigSchema.exactOptional().describe('What hosts cost, for the dashboard'),
  integrations: z
    .array(integrationSchema)
    .default([])
    .describe('CI systems whose jobs run on workers'),
  limits: z
    .strictObject({
      source: sizeSchema.prefault('2GiB').describe('Largest source of a job'),
      artifact: sizeSchema.prefault('8GiB').describe('Largest artifact'),
      hostLostAfter: durationSchema
        .prefault('2m')
        .describe('How long a host may be out of touch before its jobs are given up'),
    })
    .prefault({})
    .describe('Limits of the controller'),
  retention: z
    .strictObject({
      jobs: durationSchema.prefault('30d').describe('Finished jobs, with logs and artifacts'),
      sources: durationSchema.prefault('2d').describe('Uploaded sources, after their last use'),
      logs: sizeSchema
        .prefault('20GiB')
        .describe('Logs of finished jobs, all together; the oldest go first'),
      artifacts: sizeSchema
        .prefault('100GiB')
        .describe('Artifacts of finished jobs, all together; the oldest go first'),
    })
    .prefault({})
    .describe('How long things are kept'),
});

export type Config = z.output<typeof configSchema>;
