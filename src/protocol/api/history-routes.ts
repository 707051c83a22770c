import { z } from 'zod';
import {
  auditSchema,
  capacitySchema,
  consoleSchema,
  imageSchema,
  planAnswerSchema,
  planQuestionSchema,
  poolHistorySchema,
  queueSchema,
  timelineSchema,
} from './history-resources.ts';
import { liveSchema } from './live-resources.ts';
import { page } from './page.ts';
import { jobSchema } from './resources.ts';
import type { Route } from './route.ts';

const hours = (fallback: number) =>
  z.coerce
    .number()
    .min(1)
    .max(24 * 30)
    .default(fallback);

/** What is shown of the fleet over time, and what people do with what ended. */
export const HISTORY_ROUTES = {
  live: {
    id: 'live',
    method: 'GET',
    path: '/live',
    summary: 'Follow the whole fleet: all of it first, then what changes',
    description: 'Server-sent events. Changes of a quarter of a second come together.',
    role: 'viewer',
    status: 200,
    response: 'events',
    eventData: liveSchema,
  },
  listQueue: {
    id: 'listQueue',
    method: 'GET',
    path: '/queue',
    summary: 'Say what the jobs that wait wait for, in words; the first 500',
    role: 'viewer',
    status: 200,
    response: page(queueSchema),
  },
  jobTimeline: {
    id: 'jobTimeline',
    method: 'GET',
    path: '/jobs/{id}/timeline',
    summary: 'Say what happened to a job and to its worker, and where it is in its CI system',
    role: 'viewer',
    status: 200,
    response: timelineSchema,
  },
  retryJob: {
    id: 'retryJob',
    method: 'POST',
    path: '/jobs/{id}/retry',
    summary: 'Submit a job that has ended once more, as another job',
    role: 'submitter',
    status: 201,
    response: jobSchema,
    problems: ['conflict', 'unknown_source', 'unknown_secret', 'no_pool'],
  },
  keepJob: {
    id: 'keepJob',
    method: 'POST',
    path: '/jobs/{id}/keep',
    summary: "Keep a job's worker for a while once the job has ended, to look into it",
    role: 'operator',
    body: z.strictObject({
      /** ms; 0: let it go. */
      forMs: z
        .int()
        .min(0)
        .max(7 * 86_400_000),
    }),
    status: 200,
    response: timelineSchema,
    problems: ['conflict'],
  },
  listImages: {
    id: 'listImages',
    method: 'GET',
    path: '/images',
    summary: 'List images: which hosts have them, and how far others are',
    role: 'viewer',
    status: 200,
    response: page(imageSchema),
  },
  poolHistory: {
    id: 'poolHistory',
    method: 'GET',
    path: '/pools/{name}/history',
    summary: 'Say how a pool was: ready workers and demand over time',
    role: 'viewer',
    query: z.strictObject({ hours: hours(26) }),
    status: 200,
    response: poolHistorySchema,
  },
  capacity: {
    id: 'capacity',
    method: 'GET',
    path: '/capacity',
    summary: 'Say how long jobs waited, how hosts and pools were used, and what it cost',
    role: 'viewer',
    query: z.strictObject({ hours: hours(26) }),
    status: 200,
    response: capacitySchema,
  },
  planFleet: {
    id: 'planFleet',
    method: 'POST',
    path: '/plan',
    summary: 'Play the jobs of the past on another number of hosts',
    role: 'viewer',
    unaudited: true,
    body: planQuestionSchema,
    status: 200,
    response: planAnswerSchema,
  },
  listAudit: {
    id: 'listAudit',
    method: 'GET',
    path: '/audit',
    summary: 'List who did what, newest first',
    role: 'admin',
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      before: z.coerce.number().int().min(1).optional(),
      who: z.string().max(128).optional(),
      action: z.string().max(64).optional(),
    }),
    status: 200,
    response: page(auditSchema),
  },
  listConsoles: {
    id: 'listConsoles',
    method: 'GET',
    path: '/consoles',
    summary: 'List shells and screens that were opened in workers, newest first',
    role: 'admin',
    status: 200,
    response: page(consoleSchema),
  },
  consoleRecording: {
    id: 'consoleRecording',
    method: 'GET',
    path: '/consoles/{id}/recording',
    summary: 'Read what a shell showed, as an asciicast (version 2)',
    role: 'admin',
    status: 200,
    response: 'binary',
  },
} as const satisfies Record<string, Route>;
