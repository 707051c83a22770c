import { z } from 'zod';

/** The parts of the scale-set queue's answers that are read. Names are GitHub's. */

export const registrationTokenSchema = z.object({ token: z.string().min(1) });
export const registrationSchema = z.object({ url: z.url(), token: z.string().min(1) });

export const statisticsSchema = z.object({
  totalAvailableJobs: z.int(),
  totalAssignedJobs: z.int(),
  totalRunningJobs: z.int(),
});
export type Statistics = z.output<typeof statisticsSchema>;

export const scaleSetSchema = z.object({
  id: z.int(),
  name: z.string(),
  statistics: statisticsSchema.nullish(),
});

export const scaleSetsSchema = z.object({ value: z.array(scaleSetSchema) });

export const sessionSchema = z.object({
  sessionId: z.string(),
  messageQueueUrl: z.url(),
  messageQueueAccessToken: z.string().min(1),
  statistics: statisticsSchema.nullish(),
});
export type Session = z.output<typeof sessionSchema>;

export const messageSchema = z.object({
  messageId: z.int(),
  messageType: z.string(),
  body: z.string(),
  statistics: statisticsSchema.nullish(),
});

/** One entry of a message's body. */
export const queueJobSchema = z.object({
  messageType: z.string(),
  runnerRequestId: z.int().optional(),
  runnerName: z.string().optional(),
  ownerName: z.string().optional(),
  repositoryName: z.string().optional(),
  jobDisplayName: z.string().optional(),
});
export type QueueJob = z.output<typeof queueJobSchema>;

export const scaleSetJitSchema = z.object({
  runner: z.object({ id: z.int() }),
  encodedJITConfig: z.string().min(1),
});

export const acquiredSchema = z.object({ value: z.array(z.int()) });
