import { z } from 'zod';
import { HOST_STATES } from '../../domain/host.ts';
import { HOST_ROLLOUTS } from '../../domain/host-rollout.ts';
import { HOST_TASK_KINDS, REPAIRS, VERSION_PATTERN } from '../../domain/host-task.ts';
import { hostFactsSchema } from '../session.ts';
import { hostSettingsSchema, labelSchema } from '../values.ts';

/** What the API takes and gives of hosts. Times are wall-clock milliseconds. */

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(HOST_STATES),
    /** Why it is in this state. */
    stateReason: z.string().optional(),
    /** When what still runs on a draining host is ended. */
    drainBy: z.number().optional(),
    /** When a quarantined host is tried again; left out: when somebody resumes it. */
    quarantinedUntil: z.number().optional(),
    /** What it is to do to itself, or does. */
    task: z
      .object({
        kind: z.enum(HOST_TASK_KINDS),
        /** Its agent was told; before, the host is emptied. */
        given: z.boolean(),
        reason: z.string(),
      })
      .optional(),
    online: z.boolean(),
    lastSeenAt: z.number().optional(),
    workers: z.int(),
    labels: z.array(z.string()),
    agentVersion: z.string().optional(),
    diskFreeBytes: z.number().optional(),
    facts: hostFactsSchema.optional(),
  })
  .meta({ id: 'Host' });
export type HostView = z.output<typeof hostSchema>;

export const hostTaskOrderSchema = z
  .strictObject({
    kind: z.enum(REPAIRS),
    /** ms after which what still runs there is ended; left out: it is waited for. */
    within: z.int().min(0).optional(),
  })
  .meta({ id: 'HostTaskOrder' });

export const hostRolloutOrderSchema = z
  .strictObject({
    /** Of the agent, for a roll-out of it. */
    version: z.string().regex(VERSION_PATTERN, 'expected a version such as 1.4.0').optional(),
    /** For a roll-out of settings; they take the place of those that were rolled out before. */
    settings: hostSettingsSchema.optional(),
    /** Only hosts with all of these labels. */
    labels: z.array(labelSchema).max(64).optional(),
    /** Share of the hosts in per cent after each ring; the first has one host at least. */
    rings: z
      .array(z.number().positive().max(100))
      .max(20)
      .refine(rising, 'expected shares that grow')
      .default([1, 10, 50]),
    /** Hosts at work at once. */
    atOnce: z.int().min(1).max(10_000).default(5),
    /** ms for which a ring is watched before the next. */
    soak: z.int().min(0).default(600_000),
    /** ms after which what runs on a host is ended; left out: it is waited for. */
    within: z.int().min(0).optional(),
  })
  .meta({ id: 'HostRolloutOrder' });
export type HostRolloutOrder = z.output<typeof hostRolloutOrderSchema>;

export const hostRolloutSchema = z
  .object({
    what: z.enum(HOST_ROLLOUTS),
    /** The version, or the settings as JSON. */
    value: z.string(),
    labels: z.array(z.string()),
    state: z.enum(['running', 'paused', 'done', 'back']),
    rings: z.array(z.number()),
    /** Index of the ring. */
    ring: z.int(),
    atOnce: z.int(),
    soak: z.number(),
    reason: z.string().optional(),
    startedAt: z.number(),
    updatedAt: z.number(),
    hosts: z.array(
      z.object({
        name: z.string(),
        state: z.enum(['waiting', 'doing', 'done', 'failed', 'returning', 'returned']),
        /** What it has now. */
        has: z.string(),
        detail: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'HostRollout' });
export type HostRolloutView = z.output<typeof hostRolloutSchema>;

function rising(shares: readonly number[]): boolean {
  return shares.every((share, index) => index === 0 || share > (shares[index - 1] ?? 0));
}

export const leakSchema = z
  .object({
    /** Where it was found: `host NAME`, `integration NAME`. */
    where: z.string(),
    /** What it is, such as `VM of tart`. */
    kind: z.string(),
    name: z.string(),
    since: z.number(),
    /** When its grace time is over. */
    removedAt: z.number(),
    /** Why it could not be removed. */
    problem: z.string().optional(),
  })
  .meta({ id: 'Leak' });
export type LeakView = z.output<typeof leakSchema>;
