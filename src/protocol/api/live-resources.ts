import { z } from 'zod';
import { HOST_STATES } from '../../domain/host.ts';
import { HOST_TASK_KINDS } from '../../domain/host-task.ts';
import { JOB_OUTCOMES, JOB_STATES } from '../../domain/job.ts';
import { workerSchema } from './resources.ts';

/** The fleet as a page on the wall shows it: all of it at first, then what changes. */

const liveHostSchema = z
  .object({
    name: z.string(),
    state: z.enum(HOST_STATES),
    stateReason: z.string().optional(),
    drainBy: z.number().optional(),
    quarantinedUntil: z.number().optional(),
    task: z.object({ kind: z.enum(HOST_TASK_KINDS), given: z.boolean() }).optional(),
    online: z.boolean(),
    /** Of one that is offline. */
    lastSeenAt: z.number().optional(),
    os: z.string().optional(),
    arch: z.string().optional(),
    labels: z.array(z.string()),
    agentVersion: z.string().optional(),
    cpus: z.number().optional(),
    memoryBytes: z.number().optional(),
    /** Workers that it takes at once. */
    slots: z.int(),
    diskFreeGib: z.number().optional(),
    images: z.array(z.string()),
    endsAt: z.number().optional(),
    /** What it can do to itself when it is asked. */
    tasks: z.array(z.enum(HOST_TASK_KINDS)),
    /** What is wrong with it, a sentence each. */
    alarms: z.array(z.string()),
    /** Where it is not as the fleet wants it, a sentence each. */
    drift: z.array(z.string()),
  })
  .meta({ id: 'LiveHost' });
export type LiveHost = z.output<typeof liveHostSchema>;

export const liveJobSchema = z
  .object({
    id: z.string(),
    state: z.enum(JOB_STATES),
    outcome: z.enum(JOB_OUTCOMES).optional(),
    title: z.string(),
    pool: z.string().optional(),
    labels: z.array(z.string()),
    team: z.string().optional(),
    urgent: z.boolean(),
    priority: z.int(),
    hostName: z.string().optional(),
    workerId: z.string().optional(),
    integration: z.string().optional(),
    isBuild: z.boolean(),
    cancelRequested: z.boolean(),
    reason: z.string().optional(),
    submittedAt: z.number(),
    assignedAt: z.number().optional(),
    startedAt: z.number().optional(),
    finishedAt: z.number().optional(),
  })
  .meta({ id: 'LiveJob' });
export type LiveJob = z.output<typeof liveJobSchema>;

export const liveSchema = z
  .object({
    /** This is all there is: what is not in it is gone. */
    all: z.boolean(),
    hosts: z.array(liveHostSchema),
    workers: z.array(workerSchema),
    /** Those that are not finished, and those that have just finished. */
    jobs: z.array(liveJobSchema),
    /** Names of hosts, ids of workers and jobs that are no more. */
    gone: z.object({
      hosts: z.array(z.string()),
      workers: z.array(z.string()),
      jobs: z.array(z.string()),
    }),
    /** Kinds of what else changed: `pool`, `integration`, `host-rollout`. */
    touched: z.array(z.string()),
  })
  .meta({ id: 'Live' });
export type Live = z.output<typeof liveSchema>;
