import { z } from 'zod';
import { ALERTS } from '../../domain/alerts.ts';
import { windowSchema } from '../api/resources.ts';
import { durationSchema, envNameSchema, labelSchema, nameSchema } from '../values.ts';

/** What the configuration says of who has the fleet when. */

const window = {
  cron: z
    .string()
    .describe('When it begins: minute, hour, day of month, month, day of week; "0 8 * * 1-5"'),
  for: durationSchema.describe('How long it is open, such as 10h'),
  timeZone: z.string().exactOptional().describe('Such as Europe/Zurich; default: UTC'),
};

type WindowConfig = z.output<z.ZodObject<typeof window>>;

/** Makes a window of the fields; says where they are wrong. */
function windowOf(
  { cron, for: forMs, timeZone }: WindowConfig,
  context: z.RefinementCtx,
): z.output<typeof windowSchema> {
  const made = { cron, forMs, ...(timeZone === undefined ? {} : { timeZone }) };
  for (const { path, message } of windowSchema.safeParse(made).error?.issues ?? []) {
    context.addIssue({ code: 'custom', path: path[0] === 'forMs' ? ['for'] : path, message });
  }
  return made;
}

export const poolScheduleConfigSchema = z
  .strictObject({
    ...window,
    ready: z.int().min(0).exactOptional().describe('Booted workers kept waiting meanwhile'),
    max: z.int().min(0).exactOptional().describe('Workers at most meanwhile'),
  })
  .transform(({ cron, for: forMs, timeZone, ...numbers }, context) => ({
    when: windowOf({ cron, for: forMs, ...(timeZone === undefined ? {} : { timeZone }) }, context),
    ...numbers,
  }));

export const teamsConfigSchema = z.record(
  nameSchema,
  z.strictObject({
    weight: z
      .number()
      .positive()
      .max(1000)
      .default(1)
      .describe('Its share beside the shares of other teams that wait; default: 1'),
    quota: z.int().min(0).exactOptional().describe('Jobs that it may have running at once'),
  }),
);

export const reservationConfigSchema = z
  .strictObject({
    name: nameSchema.describe('What people call it'),
    pool: nameSchema.describe('Pool whose workers are reserved'),
    team: nameSchema.describe('Team that has them for itself'),
    workers: z.int().min(1).describe('How many'),
    cron: window.cron.exactOptional(),
    for: window.for.exactOptional(),
    timeZone: window.timeZone,
  })
  .transform(({ cron, for: forMs, timeZone, ...same }, context) => {
    if (cron === undefined && forMs === undefined) return same;
    if (cron === undefined || forMs === undefined) {
      context.addIssue({
        code: 'custom',
        path: [cron === undefined ? 'cron' : 'for'],
        message: 'expected both `cron` and `for`, or none',
      });
      return z.NEVER;
    }
    const when = { cron, for: forMs, ...(timeZone === undefined ? {} : { timeZone }) };
    return { ...same, when: windowOf(when, context) };
  });

export const maintenanceConfigSchema = z
  .strictObject({
    name: nameSchema.describe('What people call it'),
    ...window,
    hostLabels: z
      .array(labelSchema)
      .default([])
      .describe('Hosts that it is for: those with all of these labels; default: all'),
  })
  .transform(({ name, hostLabels, ...when }, context) => ({
    ...{ name, hostLabels, when: windowOf(when, context) },
  }));

export const alertConfigSchema = z.strictObject({
  name: nameSchema.describe('What people call it'),
  url: z
    .url({ protocol: /^https?$/ })
    .describe('Gets a POST with JSON; its `text` is what chats such as Slack show'),
  secret: envNameSchema
    .exactOptional()
    .describe('Secret that requests are signed with (HMAC-SHA-256, header Pomona-Signature)'),
  only: z.array(z.enum(ALERTS)).min(1).exactOptional().describe('Those it wants; default: all'),
});
